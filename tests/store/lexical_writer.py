"""A process that changes an index without end, and prints the number of each change that is done."""

import sys
from pathlib import Path

from tests.store.lexical_corpus import numbered
from uec_retriever.store.lexical import LexicalIndex

index = LexicalIndex.open(Path(sys.argv[1]), {})
turn = int(index.mark or 0)
while True:
    turn += 1
    index.change(*numbered(turn), str(turn))
    sys.stdout.write(f"{turn}\n")
    sys.stdout.flush()
