"""LexicalExpert: words as an expert, BM25 whose word weights are estimates and know how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import polygamma

from uec_retriever.checks.numbers import check_number, check_row, check_temperature, check_whole
from uec_retriever.convolution import coefficients
from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array, GaussianEmbedding


@dataclass(frozen=True, eq=False)
class LexicalStatistics:
    """What a corpus tells of some words.

    Attributes:
        texts: N, how many there are.
        average_length: of a text, in words; 1 in an empty corpus, where it means nothing.
        frequencies: `[t]` document frequencies, in how many texts each of the t words occurs, 0 to N.

    Raises:
        InvalidInputError: for numbers out of range.
    """

    texts: int
    average_length: float
    frequencies: Array

    def __post_init__(self) -> None:
        check_whole("texts", self.texts, 0)
        frequencies = check_row("document frequencies", self.frequencies)
        if not ((frequencies >= 0) & (frequencies <= self.texts)).all():
            raise InvalidInputError(
                f"document frequencies must be [t], from 0 to the number of texts, {self.texts}"
            )
        check_number("average_length", self.average_length, "> 0", np.nextafter(0, 1))
        object.__setattr__(self, "frequencies", frequencies)


@dataclass(frozen=True)
class LexicalExpert:
    """BM25 as step 1: queries are Gaussians over their words, texts are their saturated word frequencies.

    A document frequency is a binomial count. With Jeffreys' prior, p_t, the chance that a text has word t, has the
    posterior Beta(df + 1/2, N - df + 1/2). Its mean gives Lucene's inverse document frequency, `idf = -log E[p_t]`, which
    is never negative; its spread says how well that is known: `Var[log p_t] = psi'(df + 1/2) - psi'(N + 1)`, about 1 / df.

    Scores are shares of what any text could reach, so that they can be added to cosines.

    Attributes:
        k1: how late repetitions of a word saturate, >= 0.
        b: how much longer texts are discounted, in [0, 1]. The defaults of both are chosen together with the share
            (`LexicalShare`).

    Raises:
        InvalidInputError: for values out of range.

    Source: Robertson and Zaragoza (2009), "The Probabilistic Relevance Framework"; idf as in Lucene, all else in the
        design, "Step 1 for words".
    """

    k1: float = 0.6
    b: float = 0.4

    def __post_init__(self) -> None:
        object.__setattr__(self, "k1", check_number("k1", self.k1, "from 0 to 1,000,000", 0, 1e6))
        object.__setattr__(self, "b", check_number("b", self.b, "from 0 to 1", 0, 1))

    def encode_query(self, statistics: LexicalStatistics) -> GaussianEmbedding:
        """A query, whose t distinct words the statistics are of, unknown ones included.

        Args:
            statistics: of the corpus and the words.

        Returns:
            One Gaussian of dimension t: mean `idf / m` and variance `Var[log p] / m^2`, where
            `m = (k1 + 1) sum idf` is what a text could reach that has every word any number of times.

        Raises:
            InvalidInputError: for no words: there is nothing to search for.
        """
        if not len(statistics.frequencies):
            raise InvalidInputError("a query without words has no lexical embedding")
        known = statistics.frequencies + 0.5
        idf = np.log((statistics.texts + 1) / known)
        variance = polygamma(1, known) - polygamma(1, statistics.texts + 1)
        reachable = (self.k1 + 1) * idf.sum()
        return GaussianEmbedding((idf / reachable)[None], (variance / reachable**2)[None])

    def encode_documents(
        self, frequencies: Array, lengths: Array, statistics: LexicalStatistics
    ) -> GaussianEmbedding:
        """Texts, in the coordinates of a query: the frequencies of its words, saturated.

        Args:
            frequencies: `[n, t]` how often each text has each word of the query, >= 0.
            lengths: `[n]` words of each text, >= 1.
            statistics: that the query was encoded with.

        Returns:
            n Gaussians of dimension t: mean `tf (k1 + 1) / (tf + k1 (1 - b + b length / average))`, without variance.
        """
        frequencies = np.asarray(frequencies, dtype=np.float64)
        relative = np.asarray(lengths, dtype=np.float64)[:, None] / statistics.average_length
        saturation = np.where(frequencies > 0, frequencies + self.k1 * (1 - self.b + self.b * relative), 1)
        mean = frequencies * (self.k1 + 1) / saturation
        return GaussianEmbedding(mean, np.zeros_like(mean))


def relative_traces(queries: Sequence[GaussianEmbedding]) -> Array:
    """`[n]` traces of single Gaussians as if their means had unit length, `tr(Sigma) / |mu|^2`.

    Comparable between queries of any number of words, and with the experts whose means do have unit length.
    """
    return np.array([float(q.variance.sum() / (q.mean**2).sum()) for q in queries])


@dataclass(frozen=True)
class LexicalShare:
    """Step 2 between words and everything else: the trust in words, of which the dense experts divide the rest.

    `pi = pi0 exp(-(u - u0) / T)`, normalised, where u is the log of a query's relative trace; the dense experts' u is
    that of an ordinary text. T is infinite by default: then pi is the prior.

    Chosen by `benchmarks.words` on the train queries of covidqa, metatool, pubmedqa, qasper_dev_evidence and policyqa, by
    mean nDCG@10 over MiniLM alone and with WordLlama: k1 = .6, b = .4 and a prior of .5. Four of the five ways to leave a
    set out choose the same. k1 from .6 to 1.5 and priors of .5 and .6 are not clearly worse. A share by variance was no
    better than a constant one.

    Attributes:
        prior: pi0 of the words, in [0, 1]; 0 and 1 hold for every query.
        zero: u0, what u is for an ordinary query.
        temperature: T >= 0.

    Raises:
        InvalidInputError: for values out of range.

    Source: design, step 2.
    """

    prior: float = 0.5
    zero: float = 0.0
    temperature: float = float("inf")

    def __post_init__(self) -> None:
        object.__setattr__(self, "prior", check_number("the lexical share", self.prior, "in [0, 1]", 0, 1))
        object.__setattr__(
            self, "zero", check_number("the lexical zero", self.zero, "a finite number", -1e6, 1e6)
        )
        object.__setattr__(self, "temperature", check_temperature(self.temperature))

    def of(self, queries: Sequence[GaussianEmbedding | None]) -> Array:
        """`[n]` trust in words of single lexical queries, in [0, 1]: none in one without words (None)."""
        rows = [i for i, query in enumerate(queries) if query is not None]
        shares = np.zeros(len(queries))
        if self._constant is not None:
            shares[rows] = self._constant
        elif rows:
            shares[rows] = self._shares(relative_traces([query for query in queries if query is not None]))
        return shares

    @cached_property
    def _constant(self) -> float | None:
        """What holds for every query, if anything does."""
        if self.prior in (0, 1):
            return self.prior
        return float(self._shares(np.ones(1))[0]) if np.isinf(self.temperature) else None

    def _shares(self, traces: Array) -> Array:
        """`[n]` trust in words of queries with these relative traces."""
        pairs = np.stack([np.ones_like(traces), traces], axis=1)
        prior, zero = np.array([1 - self.prior, self.prior]), np.array([0, self.zero])
        return coefficients(pairs, self.temperature, zero=zero, prior=prior)[:, 1]
