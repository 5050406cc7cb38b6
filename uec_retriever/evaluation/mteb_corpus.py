"""A corpus in memory that MTEB searches exactly: variances coded as an index on disk has them, all texts scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.scoring import dense_moments
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.exact import rank
from uec_retriever.evaluation.mteb_words import CorpusWords, Moments
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.similarity import join_moments, similarity
from uec_retriever.store.codec import CodedVariances


class Corpus:
    """Documents of an ensemble; their scores equal the `raw_score` of `Engine.search` in an index of these.

    Args:
        ensemble: whose `encode_documents` made the documents.
        ids: n different ids.
        pages: the n documents, in that order, in pieces of any size.
        uncertainty: score by the uncertainty-aware similarity; by its mean if False.
        words: of the documents, read once all pages are; without words if None.

    Raises:
        InvalidInputError: if there are more or fewer documents than ids, or an id twice.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        ids: Sequence[str],
        pages: Iterable[GaussianEmbedding],
        *,
        uncertainty: bool = True,
        words: CorpusWords | None = None,
    ) -> None:
        self.ids = list(ids)
        self._words = words
        self._ensemble = ensemble
        self._uncertainty = uncertainty
        self._rows = {identifier: row for row, identifier in enumerate(self.ids)}
        self._means = np.empty((len(self.ids), ensemble.manifest.dimension), dtype=np.float32)
        shape = (len(self.ids), ensemble.codec.rank)
        self._coded = CodedVariances(np.empty(shape, np.float32), np.empty(shape, np.float32))
        end = 0
        for page in pages:
            rows, end = slice(end, end + len(page)), end + len(page)
            if end <= len(self.ids):
                coded = ensemble.codec.code(page)
                self._means[rows] = page.mean
                self._coded.coefficients[rows], self._coded.projections[rows] = (
                    coded.coefficients,
                    coded.projections,
                )
        if not end == len(self.ids) == len(self._rows):
            raise InvalidInputError(
                f"{len(self._rows)} different ids for {end} documents: give each document an id of its own"
            )

    def search(
        self,
        queries: GaussianEmbedding,
        k: int,
        among: Sequence[Sequence[str]] | None = None,
        texts: Sequence[str] | None = None,
    ) -> list[dict[str, float]]:
        """The k best documents of each query.

        Args:
            queries: n Gaussians in the layout of the ensemble.
            k: at most so many.
            among: for each query the ids to rank; all if absent.
            texts: the n queries, for their words; without words if absent.

        Returns:
            For each query, id -> score in [-1, 1] (`raw_score`), best first.

        Raises:
            InvalidInputError: for ids that are not there.
        """
        if among is not None and (lost := [i for ids in among for i in ids if i not in self._rows]):
            raise InvalidInputError(f"the corpus holds no document {lost[0]!r}: rank only what was indexed")

        def score(rows: slice) -> Array:
            means = (queries.mean[rows] @ self._means.T).astype(np.float64)
            lexical: list[tuple[float, Moments | None]] = [(0.0, None)] * len(means)
            if self._words is not None and texts is not None:
                lexical = self._words.score(texts[rows])
            each = enumerate(zip(means, lexical, strict=True), start=rows.start)
            return np.stack([self._score(queries[i : i + 1], m, *words) for i, (m, words) in each])

        def mask(rows: slice) -> NDArray[np.bool_] | None:
            if among is None:
                return None
            hidden = np.ones((rows.stop - rows.start, len(self.ids)), dtype=bool)
            for row, ids in enumerate(among[rows]):
                hidden[row, [self._rows[i] for i in ids]] = False
            return hidden

        found = rank({"": score}, len(queries), len(self.ids), k, barred=mask)[""]
        return [
            {self.ids[i]: float(s) for i, s in zip(documents, scores, strict=False)}
            for documents, scores in zip(found.positions(), found.scores, strict=True)
        ]

    def _score(self, query: GaussianEmbedding, means: Array, share: float, lexical: Moments | None) -> Array:
        """`[m]` scores of all documents: those of the dense experts, joined with those of words."""
        parts, weights = [(means, np.zeros_like(means))], [1.0]
        if self._uncertainty:
            parts = [dense_moments(self._ensemble, query, means, self._coded)]
        if lexical is not None:
            parts, weights = [*parts, lexical], [1 - share, share]
        mean, variance = join_moments(parts, weights)
        if not self._uncertainty:
            return mean
        return similarity(mean, variance if self._ensemble.manifest.informative else np.zeros_like(mean))[0]
