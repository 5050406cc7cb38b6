"""One process that indexes N generated texts with WordLlama and prints its peak memory in MB."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.efficiency import _engine, _plain_collection
from devtools.models import WORDLLAMA, real_model
from uec_retriever.data.pairs import pseudo_pairs  # noqa: F401  (same imports on both sides)
from uec_retriever.data.records import Record
from uec_retriever.engine.add import CHUNK
from uec_retriever.experts.expert import Expert


def texts(number: int) -> Iterator[str]:
    """A stream of different texts."""
    generator = np.random.default_rng(0)
    words = [f"word{i}" for i in range(5000)]
    for i in range(number):
        yield f"text {i}. " + " ".join(generator.choice(words, 60))


def main() -> None:
    """`uec` or `plain`, and N."""
    side, number = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        if side == "uec":
            engine = _engine(Path(folder), (WORDLLAMA,), list(texts(64)))
            engine.add_records(Record(str(i), text) for i, text in enumerate(texts(number)))
        else:
            model = Expert.load(str(real_model(WORDLLAMA)), device="cpu").model
            collection, stream, done = _plain_collection(folder), texts(number), 0
            while part := list(islice(stream, CHUNK)):
                vectors = model.encode_document(part, normalize_embeddings=True)
                collection.add(
                    ids=[str(done + i) for i in range(len(part))], embeddings=vectors, documents=part
                )
                done += len(part)
    print(peak_megabytes())


def peak_megabytes() -> float:
    """Peak resident memory; not by getrusage, which remembers the process that started this one."""
    status = Path("/proc/self/status").read_text()
    return float(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    main()
