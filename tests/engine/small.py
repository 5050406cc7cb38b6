"""Small experts, texts and indexes for the engine's tests; importable by child processes too."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import random
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
from filelock import FileLock
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

from devtools.tiny import tiny_model
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.records import Record
from uec_retriever.engine.engine import Engine
from uec_retriever.experts.expert import Expert

WORDS = (
    "the of to in for on with text word wing layer flow heat pressure what how why which probe hello world "
    "cat dog bird red green blue small large query document one two three four five six seven"
).split()
DIMENSION = 24


def static_model(folder: Path, seed: int) -> str:
    """A random StaticEmbedding over the small vocabulary and the numbers that `numbered` uses."""
    words = ["[UNK]", *WORDS, *(f"n{i}" for i in range(10))]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.random.default_rng(seed).normal(size=(len(words), DIMENSION)).astype(np.float32)
    module = StaticEmbedding(tokenizer, embedding_weights=weights)
    SentenceTransformer(modules=[module], device="cpu").save(str(folder))
    return str(folder)


def bert_model(folder: Path, workspace: Path) -> str:
    """A tiny BERT of another dimension, which cuts texts at 48 tokens."""
    tiny_model(workspace, "bert").save(str(folder))
    return str(folder)


def sentences(count: int, seed: int = 0, words: int = 10) -> list[str]:
    """Random texts of the small vocabulary, of 3 to `words` words."""
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=generator.randint(3, words))) for _ in range(count)]


def telling(count: int) -> list[str]:
    """Texts whose first sentence says in other order what the second one says with more words."""
    generator = random.Random(7)
    texts = []
    for _ in range(count):
        words = generator.sample(WORDS, 6)
        more = [*words[:4], *generator.sample(WORDS, 4)]
        texts.append(f"{' '.join(words)}. {' '.join(generator.sample(more, 8))}")
    return texts


def numbered(count: int, start: int = 0) -> list[Record]:
    """Records whose texts and embeddings all differ, made without a list of all texts before."""
    return [numbered_record(i) for i in range(start, start + count)]


def numbered_record(i: int) -> Record:
    """The i-th of `numbered`."""
    drawn = random.Random(i).choices(WORDS, k=6)
    return Record(f"{i:06}", " ".join([*drawn, *(f"n{digit}" for digit in str(i))]), {"n": i})


def pairs(count: int = 48, seed: int = 100) -> CalibrationPairs:
    """Calibration pairs that share words."""
    positives = sentences(count, seed, 14)
    queries = [" ".join([*p.split()[:4], w]) for p, w in zip(positives, WORDS * 9, strict=False)]
    return CalibrationPairs(queries, positives)


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


def add_numbered_but_one(path: str, count: int, moment: int, reached: Event) -> None:
    """In another process: add the first numbered records, but wait for ever before the last one.

    `reached` is set once the work of `moment` records is done.
    """
    engine, done = Engine.open(path, device="cpu"), 0.0

    def tell(more: float) -> None:
        nonlocal done
        done += more
        if done >= moment:
            reached.set()

    def stream() -> Iterator[Record]:
        yield from map(numbered_record, range(count - 1))
        threading.Event().wait()
        yield numbered_record(count - 1)

    engine.add_records(stream(), progress=tell)


def recalibrate_index(path: str, temperature: float) -> None:
    """In another process: calibrate an index anew."""
    Engine.open(path, device="cpu").recalibrate(far_pairs(), temperature=temperature)


def hold_lock(path: str, pipe: Connection) -> None:
    """In another process: hold a lock file until told to let go."""
    with FileLock(path):
        pipe.send("held")
        pipe.recv()
