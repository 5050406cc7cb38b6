"""Exact search in memory: every text is scored, by the uncertainty-aware similarity or by the mean alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.search import score_coded
from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.store.codec import CodedVariances

_BATCH = 64  # queries in one matrix product


class ExactIndex:
    """Documents of an ensemble, their variances coded as an index on disk has them.

    Scores equal the `raw_score` of `Engine.search`, but there are no candidates: all texts are ranked.

    Args:
        ensemble: whose `encode_documents` made the documents.
        ids: n different ids.
        pages: the n documents, in that order, in pieces of any size.
        uncertainty: score by the uncertainty-aware similarity; by its mean if False.

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
    ) -> None:
        self.ids = list(ids)
        self._ensemble = ensemble
        self._uncertainty = uncertainty
        self._rows = {identifier: row for row, identifier in enumerate(self.ids)}
        self._means = np.empty((len(self.ids), ensemble.manifest.dimension), dtype=np.float32)
        coefficients = np.empty((len(self.ids), ensemble.codec.rank), dtype=np.float32)
        projections = np.empty_like(coefficients)
        start = 0
        for page in pages:
            rows = slice(start, start + len(page))
            start += len(page)
            if start > len(self.ids):
                break
            coded = ensemble.codec.code(page)
            self._means[rows] = page.mean
            coefficients[rows], projections[rows] = coded.coefficients, coded.projections
        if start != len(self.ids) or len(self._rows) != len(self.ids):
            raise InvalidInputError(
                f"{len(self._rows)} different ids for {start} documents: give each document an id of its own"
            )
        self._coded = CodedVariances(coefficients, projections)

    def __len__(self) -> int:
        return len(self.ids)

    def search(
        self, queries: GaussianEmbedding, k: int, among: Sequence[Sequence[str] | None] | None = None
    ) -> list[dict[str, float]]:
        """The k best documents of each query.

        Args:
            queries: n Gaussians in the layout of the ensemble.
            k: at most so many.
            among: for each query the ids to rank, or None for all; all for all if absent.

        Returns:
            For each query, id -> score in [-1, 1] (`raw_score`), best first.

        Raises:
            InvalidInputError: for ids that are not there.
        """
        found = []
        for start in range(0, len(queries), _BATCH):
            batch = queries[start : start + _BATCH]
            means = batch.mean @ self._means.T
            for i in range(len(batch)):
                chosen = None if among is None else among[start + i]
                rows = None if chosen is None else self._positions(chosen)
                found.append(self._best(batch[i : i + 1], means[i], rows, k))
        return found

    def _best(
        self, query: GaussianEmbedding, means: Array, rows: NDArray[np.intp] | None, k: int
    ) -> dict[str, float]:
        coded = self._coded
        if rows is not None:
            means = means[rows]
            coded = CodedVariances(coded.coefficients[rows], coded.projections[rows])
        scores = means
        if self._uncertainty:
            scores = score_coded(self._ensemble, query, means.astype(np.float64), coded)[0]
        best = np.argsort(-scores, kind="stable")[:k]
        return {self.ids[i if rows is None else rows[i]]: float(scores[i]) for i in best}

    def _positions(self, ids: Sequence[str]) -> NDArray[np.intp]:
        if lost := [i for i in ids if i not in self._rows]:
            raise InvalidInputError(f"the corpus holds no document {lost[0]!r}: rank only what was indexed")
        return np.array([self._rows[i] for i in ids], dtype=np.intp)
