"""One collection, every method: encoded once, weights and temperatures chosen elsewhere, then measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.collection import Collection, Query
from uec_retriever.evaluation.encoded import CollectionEncoder, Encoded, Stopwatch
from uec_retriever.evaluation.fusion import choose_weights, make_pool, reciprocal_rank_fusion
from uec_retriever.evaluation.members import Calibration, calibrated, collection_pairs
from uec_retriever.evaluation.methods import (
    ORACLE_DOMAIN,
    ORACLE_QUERY,
    RRF,
    UEC,
    UNIFORM,
    WEIGHTED,
    in_order,
    uec_methods,
    uec_scorer,
)
from uec_retriever.evaluation.metrics import MAP, NDCG, RETRIEVAL_METRICS, Values, rank_metrics
from uec_retriever.evaluation.retrieval_options import Measured, RetrievalOptions
from uec_retriever.evaluation.scoring import Scorer, merged, rank, single, weighted_cosines
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fitting import Reference
from uec_retriever.gaussian import Array
from uec_retriever.store.manifest import Manifest


class RetrievalStudy:
    """Measures collections with the same experts and calibration; choices and encodings are kept.

    Args:
        calibration: experts with posteriors, and reference pairs.
        options: defaults if absent.
        merged: label -> model that is searched with on its own, say of merged parameters.
    """

    def __init__(
        self,
        calibration: Calibration,
        options: RetrievalOptions | None = None,
        *,
        merged: Mapping[str, Expert] | None = None,
    ) -> None:
        self._calibration = calibration
        self._options = options or RetrievalOptions()
        self._merged = dict(merged or {}) if "merged" in self._options.methods else {}
        self._encoder = CollectionEncoder(calibration.members, self._options.structures(), self._merged)
        dimensions = [m.expert.dimension for m in calibration.members]
        own = {"zero": self._options.zero, "prior": self._options.prior}
        self._methods = {
            **uec_methods(self._options.methods, dimensions, **own),
            **self._options.variants,
        }
        self._references: dict[str, list[Reference]] = {}
        self._manifests: dict[tuple[UEC, int], Manifest] = {}
        self._weights: dict[int, Array] = {}
        self._trains: dict[int, Sequence[Collection]] = {}  # keeps them alive, so that their ids stay theirs
        self._watch = Stopwatch()

    def measure(self, collection: Collection, train: Sequence[Collection] = ()) -> Measured:
        """Every method on a collection.

        Args:
            collection: one split; choose on `train`, report on `test`.
            train: labelled queries to choose weights on, and T with `temperature="train"`: the highest mean over
                these of nDCG@10. The same list object is searched once. Pseudo-pairs of the corpus
                give the weights where it is empty.

        Raises:
            CorpusError: for the scope `group` where a query has no group.
        """
        self._watch = Stopwatch()
        labels, scope = self._calibration.labels, self._options.scopes.get(collection.name, "corpus")
        experts = len(labels)
        kinds = dict(in_order(labels, list(self._merged), self._methods, self._options.methods))
        weights = {UNIFORM: np.full(experts, 1 / experts)}
        chosen: dict[str, Any] = {}
        if WEIGHTED in kinds:
            weights[WEIGHTED], chosen[WEIGHTED] = self._weigh(collection, train)
        coefficients: dict[str, Array] = {}
        scorers: dict[str, Scorer] = {label: single(k) for k, label in enumerate(labels)}
        scorers |= {label: merged(label) for label in self._merged}
        scorers |= {label: weighted_cosines(w) for label, w in weights.items()}
        manifests = {label: self._manifest(method, train) for label, method in self._methods.items()}
        encoded = self._encoder.encode(collection)
        for label, method in self._methods.items():
            with self._watch("coefficients"):
                scorers[label], pi = uec_scorer(method, manifests[label], encoded)
            if method.coefficients:
                coefficients[label] = pi
                chosen[label] = self._description(method, manifests[label], train)
        found = rank(encoded, collection, scorers, scope, self._options.depth, self._watch)
        found[RRF] = reciprocal_rank_fusion([found[label] for label in labels], self._options.depth)
        if WEIGHTED in kinds:
            coefficients[WEIGHTED] = np.broadcast_to(weights[WEIGHTED], (len(collection.queries), experts))
        values: dict[str, dict[str, Values]] = {
            label: rank_metrics(collection.queries, ranked.ids(collection), RETRIEVAL_METRICS)
            for label, ranked in found.items()
        }
        values |= oracles(collection, {label: values[label] for label in labels})
        stages: dict[str, float] = dict(encoded.documents.stages)
        for stage, seconds in (*encoded.queries.stages.items(), *self._watch.seconds.items()):
            stages[stage] = stages.get(stage, 0.0) + seconds
        return Measured(
            collection,
            scope,
            labels,
            kinds,
            {label: values[label] for label in kinds},
            {label: found[label] for label in kinds if label in found},
            coefficients,
            chosen,
            stages,
        )

    def _weigh(self, collection: Collection, train: Sequence[Collection]) -> tuple[Array, dict[str, Any]]:
        with self._watch("choice of weights"):
            labels = self._calibration.labels
            if train:
                source = f"train queries of {', '.join(c.name for c in train)}"
                if id(train) not in self._weights:
                    self._weights[id(train)] = choose_weights(
                        [make_pool(e, c, self._scope(c)) for c, e in self._encoded(train)]
                    )
                weights = self._weights[id(train)]
            else:
                weights, source = self._pseudo_weights(collection)
        return weights, {"weights": dict(zip(labels, weights.tolist(), strict=True)), "on": source}

    def _pseudo_weights(self, collection: Collection) -> tuple[Array, str]:
        try:
            pairs = collection_pairs(collection, self._options.pairs, self._options.seed)
        except InvalidInputError:
            experts = len(self._calibration.labels)
            return np.full(experts, 1 / experts), "nothing: too few texts for pseudo-pairs, so uniform"
        made = as_collection(pairs)
        pool = make_pool(self._encoder.encode_means(made), made, "corpus")
        return choose_weights([pool]), f"{len(pairs)} pseudo-pairs of {collection.name}"

    def _encoded(self, train: Sequence[Collection]) -> list[tuple[Collection, Encoded]]:
        self._trains[id(train)] = train
        sampled = [c.sample(self._options.train_queries, self._options.seed) for c in train]
        return [(c, self._encoder.encode(c)) for c in sampled]

    def _scope(self, collection: Collection) -> str:
        return self._options.scopes.get(collection.name, "corpus")

    def _manifest(self, method: UEC, train: Sequence[Collection]) -> Manifest:
        by_train = self._by_train(method, train)
        key = (method.calibration, id(train) if by_train else 0)
        if key not in self._manifests:
            with self._watch("calibration"):
                if method.structure not in self._references:
                    self._references[method.structure] = self._calibration.measured(method.structure)
                fixed = (
                    self._options.temperature if isinstance(self._options.temperature, float | int) else None
                )
                wanted = method.temperature if method.temperature is not None else fixed
                found = calibrated(
                    self._calibration.manifest(method.structure),
                    self._references[method.structure],
                    1.0 if by_train else wanted,
                    layout=method.layout,
                    zero=method.zero,
                    prior=method.prior,
                )
            if by_train:
                with self._watch("choice of temperature"):
                    found = self._tuned(method.calibration, found, train)
            self._manifests[key] = found
        return self._manifests[key]

    def _by_train(self, method: UEC, train: Sequence[Collection]) -> bool:
        return bool(train) and method.temperature is None and self._options.temperature == "train"

    def _tuned(self, method: UEC, manifest: Manifest, train: Sequence[Collection]) -> Manifest:
        """The manifest under the temperature with the highest mean nDCG@10; of equal ones the highest."""
        tried = {t: replace(manifest, temperature=t) for t in sorted(self._options.temperatures)}
        means = []
        for collection, encoded in self._encoded(train):
            scorers = {str(t): uec_scorer(method, m, encoded)[0] for t, m in tried.items()}
            found = rank(encoded, collection, scorers, self._scope(collection), 10)
            values = [
                rank_metrics(collection.queries, r.ids(collection), (NDCG,))[NDCG] for r in found.values()
            ]
            means.append([float(v.mean()) for v in values])
        scores = dict(zip(tried, np.mean(means, axis=0).round(9).tolist(), strict=True))
        return tried[max(scores, key=lambda t: (scores[t], t))]

    def _description(self, method: UEC, manifest: Manifest, train: Sequence[Collection]) -> dict[str, Any]:
        fixed = method.temperature is not None or not isinstance(self._options.temperature, str)
        by_train = f"train queries of {', '.join(c.name for c in train)}"
        on = "given" if fixed else by_train if self._by_train(method, train) else manifest.reference
        return {
            "temperature": manifest.temperature,
            "on": on,
            "reference": manifest.reference,
            "prior": {e.label: e.prior for e in manifest.experts},
            "zero": {e.label: e.query_zero for e in manifest.experts},
        }


def oracles(
    collection: Collection, singles: Mapping[str, Mapping[str, Values]]
) -> dict[str, dict[str, Values]]:
    """Upper bounds of choosing one expert: the best for each domain, and for each query, by nDCG@10 on the answers.

    Args:
        collection: its queries' domains count.
        singles: expert -> metric -> `[n]`.

    Returns:
        `oracle domain` and `oracle query` -> metric -> `[n]`. Between experts of equal nDCG@10, MAP decides.
    """
    quality = np.stack([v[NDCG] + 1e-6 * v[MAP] for v in singles.values()])
    best_query = quality.argmax(axis=0)
    domains = np.array([q.domain or collection.name for q in collection.queries])
    best_domain = np.zeros(len(domains), dtype=int)
    for domain in collection.domains:
        rows = domains == domain
        best_domain[rows] = int(quality[:, rows].mean(axis=1).argmax())
    every = np.arange(len(domains))
    return {
        label: {
            metric: np.stack([v[metric] for v in singles.values()])[best, every]
            for metric in RETRIEVAL_METRICS
        }
        for label, best in ((ORACLE_DOMAIN, best_domain), (ORACLE_QUERY, best_query))
    }


def as_collection(pairs: CalibrationPairs) -> Collection:
    """Pairs as a test collection: each query's only relevant passage is its positive."""
    ids = [str(i) for i in range(len(pairs))]
    queries = [Query(i, text, {i: 1}) for i, text in zip(ids, pairs.queries, strict=True)]
    return Collection("pairs", pairs.source, ids, pairs.positives, [None] * len(ids), queries)
