"""A collection's words: every passage scored exactly by the lexical expert, means and variances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from uec_retriever.data.words import WordAnalyzer
from uec_retriever.experts.lexical import LexicalExpert, LexicalStatistics
from uec_retriever.gaussian import Array, GaussianEmbedding


@dataclass(frozen=True, eq=False)
class CountedPassages:
    """How often m passages have the V terms that they are made of.

    Attributes:
        analyzer: that found the terms, and finds those of queries.
        columns: term -> its column.
        frequencies: `[m, V]` sparse, float64.
        lengths: `[m]` terms of each passage, with repeats.
    """

    analyzer: WordAnalyzer
    columns: dict[str, int]
    frequencies: Any
    lengths: Array

    @classmethod
    def count(cls, texts: Sequence[str], analyzer: WordAnalyzer) -> CountedPassages:
        """Count the terms of passages."""
        columns: dict[str, int] = {}
        places: list[int] = []
        values: list[int] = []
        ends = [0]
        for text in texts:
            for term, number in Counter(analyzer.terms(text)).items():
                places.append(columns.setdefault(term, len(columns)))
                values.append(number)
            ends.append(len(places))
        shape = (len(texts), len(columns))
        frequencies = csr_matrix((np.array(values, np.float64), np.array(places, np.int64), ends), shape)
        return cls(analyzer, columns, frequencies, np.asarray(frequencies.sum(axis=1)).ravel())

    def statistics(self, terms: Sequence[str]) -> LexicalStatistics:
        """What the passages tell of some terms, known or not; all passages count, wherever a query is asked."""
        found = np.bincount(self.frequencies.indices, minlength=len(self.columns))
        known = [int(found[self.columns[t]]) if t in self.columns else 0 for t in terms]
        average = float(self.lengths.mean()) if len(self.lengths) else 0.0
        return LexicalStatistics(len(self.lengths), average or 1.0, np.array(known, np.float64))

    def saturate(self, expert: LexicalExpert) -> Any:
        """`[m, V]` sparse: the passages' means under the expert, who has no variance for them."""
        rows = np.repeat(np.arange(len(self.lengths)), np.diff(self.frequencies.indptr))
        one_by_one = self.frequencies.data[:, None], self.lengths[rows]
        means = expert.encode_documents(*one_by_one, self.statistics([])).mean[:, 0]
        places = self.frequencies.indices, self.frequencies.indptr
        return csr_matrix((means, *places), self.frequencies.shape, copy=True)  # products sort them in place


@dataclass(frozen=True, eq=False)
class EncodedWords:
    """A collection's queries and passages as the lexical expert sees them.

    Attributes:
        queries: n single Gaussians over their distinct words, in order of appearance; None for one without words.
        means: `[n, V]` sparse, those of the queries at the terms that any passage has.
        variances: `[n, V]` sparse, likewise.
        passages: `[m, V]` sparse means, without variances.
    """

    queries: Sequence[GaussianEmbedding | None]
    means: Any
    variances: Any
    passages: Any

    @classmethod
    def encode(cls, expert: LexicalExpert, counted: CountedPassages, queries: Sequence[str]) -> EncodedWords:
        """Encode queries against counted passages."""
        terms = [list(dict.fromkeys(counted.analyzer.terms(query))) for query in queries]
        every = list(dict.fromkeys(t for found in terms for t in found))
        whole = counted.statistics(every)
        df = dict(zip(every, whole.frequencies.tolist(), strict=True))
        gaussians: list[GaussianEmbedding | None] = []
        rows: list[tuple[int, int, float, float]] = []
        for row, found in enumerate(terms):
            if not found:
                gaussians.append(None)
                continue
            known = LexicalStatistics(whole.texts, whole.average_length, np.array([df[t] for t in found]))
            gaussian = expert.encode_query(known)
            gaussians.append(gaussian)
            numbers = zip(found, gaussian.mean[0].tolist(), gaussian.variance[0].tolist(), strict=True)
            rows += [(row, counted.columns[t], mean, v) for t, mean, v in numbers if t in counted.columns]
        table = np.array(rows, np.float64).reshape(-1, 4)
        places = (table[:, 0].astype(np.int64), table[:, 1].astype(np.int64))
        shape = (len(queries), len(counted.columns))
        means, variances = (csr_matrix((table[:, k], places), shape) for k in (2, 3))
        return cls(gaussians, means, variances, counted.saturate(expert))

    def moments(self, rows: slice) -> tuple[Array, Array]:
        """`[b, m]` mean, in [0, 1], and variance of the lexical similarity of some queries with all passages.

        The moments of `similarity.moments`, where only one side has variance: `q . d` and `Sigma_q . d^2`.
        """
        mean = self.means[rows] @ self.passages.T
        variance = self.variances[rows] @ self.passages.power(2).T
        return mean.toarray(), variance.toarray()
