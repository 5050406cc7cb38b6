"""The words of a corpus in memory: every text's similarity with a query by words, as an index on disk has it."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np
from scipy.sparse import csc_array

from uec_retriever.experts.lexical import LexicalExpert, LexicalShare, LexicalStatistics
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.similarity import moments
from uec_retriever.store.lexical_options import LexicalOptions

Moments = tuple[Array, Array]


class CorpusWords:
    """Counts of all words of a corpus, and its statistics.

    Args:
        options: how words are an expert.
    """

    def __init__(self, options: LexicalOptions) -> None:
        self._analyzer = options.analyzer
        self._expert = LexicalExpert(options.k1, options.b)
        self._share = LexicalShare(options.share, options.zero, options.temperature)
        self._columns: dict[str, int] = {}
        self._rows, self._terms, self._counts = array("i"), array("i"), array("i")
        self._lengths = array("i")

    def reading(self, texts: Iterable[str]) -> Iterator[str]:
        """Texts as they are, whose words are counted as they pass; before the first search."""
        for text in texts:
            counted = Counter(self._analyzer.terms(text))
            self._rows.extend([len(self._lengths)] * len(counted))
            self._terms.extend([self._columns.setdefault(t, len(self._columns)) for t in counted])
            self._counts.extend(counted.values())
            self._lengths.append(counted.total())
            yield text

    def score(self, queries: Sequence[str]) -> list[tuple[float, Moments | None]]:
        """The trust in words of each query, and `[n]` means and `[n]` variances of its similarity with the n texts.

        A query without words has the trust 0, and none.
        """
        words = [list(dict.fromkeys(self._analyzer.terms(query))) for query in queries]
        statistics = [self._statistics(terms) if terms else None for terms in words]
        gaussians = [None if s is None else self._expert.encode_query(s) for s in statistics]
        found: list[Moments | None] = [
            None if s is None or gaussian is None else self._moments(terms, s, gaussian)
            for terms, s, gaussian in zip(words, statistics, gaussians, strict=True)
        ]
        return list(zip(self._share.of(gaussians).tolist(), found, strict=True))

    @cached_property
    def _frequencies(self) -> csc_array:
        """`[n, vocabulary]` how often each text has each word."""
        counts, rows, columns = (np.asarray(part) for part in (self._counts, self._rows, self._terms))
        return csc_array((counts, (rows, columns)), shape=(len(self._lengths), len(self._columns)))

    @cached_property
    def _average(self) -> float:
        return float(np.mean(self._lengths)) if len(self._lengths) else 0.0

    def _texts_with(self, term: str) -> tuple[Array, Array]:
        """Rows of the texts that have a word, and how often."""
        column = self._columns.get(term)
        if column is None:
            return np.empty(0, np.int64), np.empty(0)
        start, end = self._frequencies.indptr[column : column + 2]
        return self._frequencies.indices[start:end], self._frequencies.data[start:end].astype(np.float64)

    def _statistics(self, terms: Sequence[str]) -> LexicalStatistics:
        frequencies = np.array([len(self._texts_with(term)[0]) for term in terms], dtype=np.float64)
        return LexicalStatistics(len(self._lengths), self._average or 1.0, frequencies)

    def _moments(
        self, terms: Sequence[str], statistics: LexicalStatistics, query: GaussianEmbedding
    ) -> Moments:
        """Word by word, since few texts have any one of them."""
        mean, variance = np.zeros(len(self._lengths)), np.zeros(len(self._lengths))
        lengths = np.asarray(self._lengths, dtype=np.float64)
        for column, term in enumerate(terms):
            rows, counts = self._texts_with(term)
            if not len(rows):
                continue
            texts = self._expert.encode_documents(counts[:, None], lengths[rows], statistics)
            one = GaussianEmbedding(query.mean[:, column, None], query.variance[:, column, None])
            means, variances = moments(one, texts)
            mean[rows] += means[0]
            variance[rows] += variances[0]
        return mean, variance
