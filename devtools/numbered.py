"""A tiny model, numbered records and pairs, for tests and for the endurance benchmark; importable by child processes."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import random
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.records import Record

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


def sentences(count: int, seed: int = 0, words: int = 10) -> list[str]:
    """Random texts of the small vocabulary, of 3 to `words` words."""
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=generator.randint(3, words))) for _ in range(count)]


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
