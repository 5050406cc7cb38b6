"""Queries as words: what the lexical index of a collection makes of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from uec_retriever.data.progress import Progress
from uec_retriever.data.records import Record
from uec_retriever.errors import CorruptFileError, StorageError
from uec_retriever.experts.lexical import LexicalExpert, LexicalShare, LexicalStatistics
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.similarity import moments
from uec_retriever.store.lexical.following import LexicalFollower
from uec_retriever.store.lexical.index import LexicalIndex
from uec_retriever.store.lexical_options import LexicalOptions

T = TypeVar("T")


class UnreadableWordsError(StorageError):
    """The lexical index cannot be read: search without it, where that is no other search than was asked for."""


@dataclass(frozen=True, eq=False)
class LexicalQuery:
    """A query as words, under the statistics of a lexical index.

    Attributes:
        expert: k1 and b.
        follower: the index.
        terms: t distinct ones.
        gaussian: `[1, t]`.
        statistics: that it was encoded with.
        share: trust in words, in [0, 1].
    """

    expert: LexicalExpert
    follower: LexicalFollower
    terms: Sequence[str]
    gaussian: GaussianEmbedding
    statistics: LexicalStatistics
    share: float

    @property
    def rarities(self) -> Array:
        """`[t]` inverse document frequencies of the terms, from 0 of one in every text to almost 1; 0 of one in none."""
        texts, held = self.statistics.texts, self.statistics.frequencies
        return np.where(held > 0, np.log((texts + 1) / (held + 1)) / np.log(max(texts, 1) + 1), 0.0)

    def find(self, limit: int, allowed: Sequence[str] | None = None) -> dict[str, float]:
        """Ids of the best texts by words alone -> their mean similarity, best first.

        Args:
            limit: at most this many, >= 1.
            allowed: ids that may be found; all if None.

        Raises:
            UnreadableWordsError: if the index cannot be read.
        """
        weights = dict(zip(self.terms, self.gaussian.mean[0].tolist(), strict=True))
        k1, b = self.expert.k1, self.expert.b
        return dict(read_words(self.follower, lambda index: index.search(weights, limit, k1, b, allowed)))

    def moments(self, records: Sequence[Record]) -> tuple[Array, Array]:
        """`[m]` means and `[m]` variances of the similarity with records; what the index does not know is read here.

        Raises:
            UnreadableWordsError: if the index cannot be read.
        """
        ids = [r.id for r in records]
        found, long = read_words(self.follower, lambda index: index.frequencies(ids, self.terms))
        frequencies, lengths = found.astype(np.float64), long.astype(np.float64)
        if unknown := np.flatnonzero(lengths < 0).tolist():
            texts = [records[row].embedding_text for row in unknown]
            frequencies[unknown], lengths[unknown] = self._count(texts)
        return self._moments(frequencies, lengths)

    def moments_of_texts(self, texts: Sequence[str]) -> tuple[Array, Array]:
        """The same of m texts."""
        return self._moments(*self._count(texts))

    def _count(self, texts: Sequence[str]) -> tuple[Array, Array]:
        """`[m, t]` frequencies of the terms in texts, and the texts' `[m]` lengths."""
        column = {term: i for i, term in enumerate(self.terms)}
        counts, lengths = np.zeros((len(texts), len(column))), np.zeros(len(texts))
        for row, text in enumerate(texts):
            terms = self.follower.analyzer.terms(text)
            lengths[row] = len(terms)
            places = np.array([column[term] for term in terms if term in column], dtype=np.int64)
            counts[row] = np.bincount(places, minlength=len(column))
        return counts, lengths

    def _moments(self, frequencies: Array, lengths: Array) -> tuple[Array, Array]:
        documents = self.expert.encode_documents(frequencies, np.maximum(lengths, 1), self.statistics)
        mean, variance = moments(self.gaussian, documents)
        return mean[0], variance[0]


def encode_words(
    options: LexicalOptions, follower: LexicalFollower, queries: Sequence[Sequence[str]]
) -> list[LexicalQuery | None]:
    """Queries as words; None for one without any.

    Args:
        options: k1, b and the share.
        follower: the index.
        queries: n of them; each of one text, or of several that stand for it, whose Gaussians are averaged.

    Raises:
        UnreadableWordsError: if the index cannot be read.
    """
    expert, share = _expert_of(options)
    encoded = [_encode(expert, follower, texts) for texts in queries]
    shares = share.of([None if found is None else found[1] for found in encoded]).tolist()
    return [
        None if found is None else LexicalQuery(expert, follower, *found, share=trust)
        for found, trust in zip(encoded, shares, strict=True)
    ]


@functools.lru_cache(maxsize=16)
def _expert_of(options: LexicalOptions) -> tuple[LexicalExpert, LexicalShare]:
    return (
        LexicalExpert(options.k1, options.b),
        LexicalShare(options.share, options.zero, options.temperature),
    )


def _encode(
    expert: LexicalExpert, follower: LexicalFollower, texts: Sequence[str]
) -> tuple[Sequence[str], GaussianEmbedding, LexicalStatistics] | None:
    """Terms, Gaussian and statistics; None without terms."""
    parts = [tuple(dict.fromkeys(follower.analyzer.terms(text))) for text in texts]
    terms = parts[0] if len(parts) == 1 else tuple(dict.fromkeys(term for part in parts for term in part))
    if not terms:
        return None
    count, average, frequencies = read_words(follower, lambda index: index.statistics(terms))
    whole = LexicalStatistics(count, average or 1.0, frequencies.astype(np.float64))
    if len(parts) == 1:
        return terms, expert.encode_query(whole), whole
    column = {term: i for i, term in enumerate(terms)}
    mean, variance = np.zeros((1, len(terms))), np.zeros((1, len(terms)))
    for part in filter(None, parts):
        places = [column[term] for term in part]
        gaussian = expert.encode_query(replace(whole, frequencies=whole.frequencies[places]))
        mean[0, places] += gaussian.mean[0] / len(texts)
        variance[0, places] += gaussian.variance[0] / len(texts) ** 2
    return terms, GaussianEmbedding(mean, variance), whole


def read_words(
    follower: LexicalFollower, call: Callable[[LexicalIndex], T], progress: Progress | None = None
) -> T:
    """What a call gives that reads the index, once that has followed; raises UnreadableWordsError if it cannot be read."""
    try:
        return follower.read(call, progress)
    except (StorageError, CorruptFileError) as error:
        raise UnreadableWordsError(f"the lexical index cannot be read: {error}") from error
