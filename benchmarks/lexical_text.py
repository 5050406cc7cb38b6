"""Synthetic passages whose words are distributed as in natural language, queries, and the true BM25 of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

SEED = 0  # benchmarks.common, which has it too, loads torch
VOCABULARY, EXPONENT, LENGTH, CHUNK = 300_000, 1.05, 60, 10_000
K1, B = 0.9, 0.4
_Ints = np.ndarray[Any, np.dtype[np.integer[Any]]]
_Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
_shares = 1 / np.arange(1, VOCABULARY + 1) ** EXPONENT
_cumulated = np.cumsum(_shares / _shares.sum())


def draw(generator: np.random.Generator, number: int) -> _Ints:
    """`[number]` words, as numbers by rank: Zipf's distribution, so that the first is every tenth word."""
    return np.minimum(np.searchsorted(_cumulated, generator.random(number)), VOCABULARY - 1)


def passages(size: int) -> Iterator[tuple[int, list[_Ints]]]:
    """Chunks of passages of about 60 words: number of the first, and the words of each."""
    for start in range(0, size, CHUNK):
        generator = np.random.default_rng([SEED, start])
        lengths = generator.poisson(LENGTH, CHUNK) + 1
        words = draw(generator, int(lengths.sum()))
        yield start, np.split(words, np.cumsum(lengths)[:-1])[: size - start]


def queries(number: int, words: int) -> list[list[int]]:
    """Queries drawn as passages are: some words are in nearly every passage."""
    generator = np.random.default_rng([SEED, 1_000_003, words])
    return [list(dict.fromkeys(draw(generator, words).tolist())) for _ in range(number)]


@dataclass(frozen=True)
class Truth:
    """What an exact scorer says of a corpus.

    Attributes:
        df: `[V]`, passages that have each word.
        average: length of the passages.
        best: of each query, numbers of its best passages, best first.
        scores: of each query, their scores.
    """

    df: _Ints
    average: float
    best: list[_Ints]
    scores: list[_Floats]

    def idf(self, size: int) -> _Floats:
        """`[V]`, as Lucene has it."""
        return np.log1p((size - self.df + 0.5) / (self.df + 0.5))


def truth(size: int, asked: list[list[int]], limit: int) -> Truth:
    """Exact BM25 by a dense count of all query words, a chunk of passages at a time."""
    df, total = np.zeros(VOCABULARY, np.int64), 0
    for _, texts in passages(size):
        for words in texts:
            df[np.unique(words)] += 1
            total += len(words)
    answer = Truth(df, total / size, [], [])
    idf = answer.idf(size)
    known = np.unique(np.concatenate([np.array(q) for q in asked]))
    column = np.full(VOCABULARY, -1)
    column[known] = np.arange(len(known))
    places = [column[q] for q in asked]
    found: list[list[tuple[_Floats, _Ints]]] = [[] for _ in asked]
    for start, texts in passages(size):
        lengths = np.array([len(t) for t in texts])
        rows = np.repeat(np.arange(len(texts)), lengths)
        columns = column[np.concatenate(texts)]
        keep = columns >= 0
        flat = np.bincount(rows[keep] * len(known) + columns[keep], minlength=len(texts) * len(known))
        tf = flat.reshape(len(texts), len(known)).astype(np.float32)
        parts = (
            tf * (K1 + 1) / (tf + (K1 * (1 - B + B * lengths / answer.average)).astype(np.float32)[:, None])
        )
        parts *= idf[known].astype(np.float32)
        for kept, where in zip(found, places, strict=True):
            scores = parts[:, where].sum(1)
            top = np.argpartition(-scores, min(limit, len(scores) - 1))[:limit]
            kept.append((scores[top], top + start))
    for kept in found:
        scores, numbers = (np.concatenate(part) for part in zip(*kept, strict=True))
        order = np.argsort(-scores, kind="stable")[:limit]
        answer.best.append(numbers[order])
        answer.scores.append(scores[order])
    return answer
