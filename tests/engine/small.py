"""Small experts, texts and indexes for the engine's tests; importable by child processes too."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import random
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from filelock import FileLock

from devtools.numbered import WORDS as WORDS
from devtools.numbered import numbered as numbered
from devtools.numbered import numbered_record as numbered_record
from devtools.numbered import pairs as pairs
from devtools.numbered import sentences as sentences
from devtools.numbered import static_model as static_model
from devtools.tiny import tiny_model
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.records import Record
from uec_retriever.engine.engine import Engine
from uec_retriever.experts.expert import Expert


def bert_model(folder: Path, workspace: Path) -> str:
    """A tiny BERT of another dimension, which cuts texts at 48 tokens."""
    tiny_model(workspace, "bert").save(str(folder))
    return str(folder)


def telling(count: int) -> list[str]:
    """Texts whose first sentence says in other order what the second one says with more words."""
    generator = random.Random(7)
    texts = []
    for _ in range(count):
        words = generator.sample(WORDS, 6)
        more = [*words[:4], *generator.sample(WORDS, 4)]
        texts.append(f"{' '.join(words)}. {' '.join(generator.sample(more, 8))}")
    return texts


def far_pairs() -> CalibrationPairs:
    """Pairs that share two words: they call for a larger variance than those that share four."""
    generator, positives = random.Random(50), sentences(40, 60, 14)
    queries = [" ".join([*p.split()[:2], *generator.choices(WORDS, k=2)]) for p in positives]
    return CalibrationPairs(queries, positives, "far")


def unrelated_pairs() -> CalibrationPairs:
    """Pairs of unrelated texts, which say nothing."""
    return CalibrationPairs(sentences(40, 50), sentences(40, 60), "unrelated")


def load(labels: dict[str, str]) -> list[Expert]:
    """Fresh experts: label -> folder."""
    return [Expert.load(path, label=label, device="cpu") for label, path in labels.items()]


def contents(engine: Engine) -> dict[str, Record]:
    """All that an index holds, checking that no record is there twice."""
    records = engine.get()
    assert len({r.id for r in records}) == len(records) == engine.count()
    return {r.id: r for r in records}


def equal(one: Engine, other: Engine) -> None:
    """Two indexes hold the same texts, metadata and coded variances, and means within the last bits."""
    left, right = (
        engine.store.client.get_collection("uec", embedding_function=None).get(
            include=["embeddings", "metadatas", "documents"]
        )
        for engine in (one, other)
    )
    orders = [np.argsort(found["ids"]) for found in (left, right)]
    for name in ("ids", "documents", "metadatas"):
        listed = [[found[name][i] for i in order] for found, order in zip((left, right), orders, strict=True)]
        assert listed[0] == listed[1]
    np.testing.assert_allclose(
        left["embeddings"][orders[0]], right["embeddings"][orders[1]], rtol=0, atol=1e-6
    )


def answers(engine: Engine, queries: list[str], k: int = 10) -> list[list[tuple[str, float, float]]]:
    """What the engine finds, rounded so that the last bits do not matter."""
    return [
        [(h.id, round(h.raw_score, 4), round(h.deviation, 4)) for h in result]
        for result in engine.search_batch(queries, k)
    ]


def hold_for_writing(path: str, pipe: Connection) -> None:
    """In another process: write to an index until told to stop."""
    engine = Engine.open(path, device="cpu")

    def stream() -> Iterator[Record]:
        yield numbered_record(0)
        pipe.send("writing")
        pipe.recv()
        yield numbered_record(1)

    engine.add_records(stream())


def add_numbered(path: str, count: int) -> None:
    """In another process: add the first numbered records."""
    with Engine.open(path, device="cpu") as engine:
        engine.add_records(numbered(count))


def recalibrate_index(path: str, temperature: float) -> None:
    """In another process: calibrate an index anew."""
    Engine.open(path, device="cpu").recalibrate(far_pairs(), temperature=temperature)


def hold_lock(path: str, pipe: Connection) -> None:
    """In another process: hold a lock file until told to let go."""
    with FileLock(path):
        pipe.send("held")
        pipe.recv()
