"""A process that changes a collection of an embedded database: put and delete of records, told as JSON on its input.

    python -m tests.store.following_writer DATABASE
"""

import json
import sys
from pathlib import Path

from tests.store.small import codes, vectors
from uec_retriever.data.records import Record
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import connect


def main(database):
    store, _ = ChromaStore.open(connect(database), "uec", database)
    for line in sys.stdin:
        change = json.loads(line)
        items = [Record(i, text) for i, text in change["put"].items()]
        if items:
            store.put(items, vectors(len(items)), codes(items))
        if change["delete"]:
            store.delete(change["delete"])
        if change.get("compact"):
            store.compact()
        print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
