"""One collection, every method: encoded once, weights and temperatures chosen elsewhere, then measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.bootstrap import Values
from uec_retriever.evaluation.collection import Collection, Query
from uec_retriever.evaluation.collection_encoder import CollectionEncoder, EncodedCollection
from uec_retriever.evaluation.exact import Ranking, Scorer, mask_passages, rank
from uec_retriever.evaluation.expert_set import ExpertSet, collection_pairs
from uec_retriever.evaluation.fusion import choose_weights, pool_candidates, reciprocal_rank_fusion
from uec_retriever.evaluation.methods import (
    ORACLE_DOMAIN,
    ORACLE_QUERY,
    RRF,
    UEC,
    UNIFORM,
    WEIGHTED,
    RetrievalOptions,
    merged_cosines,
    uec_scorer,
    weighted_cosines,
)
from uec_retriever.evaluation.metrics import MAP, NDCG, RETRIEVAL_METRICS, rank_metrics
from uec_retriever.evaluation.stopwatch import Stopwatch
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import Array
from uec_retriever.store.manifest import Manifest

Metrics = Mapping[str, Values]  # metric of `RETRIEVAL_METRICS` -> `[n]`


@dataclass(frozen=True, eq=False)
class Measurements:
    """Every method on one collection, query by query.

    Attributes:
        collection: what was asked.
        scope: `corpus` or `group`.
        labels: of the experts.
        kinds: label of a method -> its kind, in the order of the table.
        values: label -> metric -> `[n]`.
        rankings: label -> rankings; oracles have none.
        coefficients: label -> `[n, K]` trust in each expert, of methods that weigh them.
        chosen: weights, temperatures and priors, and what they were chosen on.
        stages: seconds of each stage, for all methods together; encoding as it was when it was done.
    """

    collection: Collection
    scope: str
    labels: Sequence[str]
    kinds: Mapping[str, str]
    values: Mapping[str, Metrics]
    rankings: Mapping[str, Ranking]
    coefficients: Mapping[str, Array]
    chosen: Mapping[str, Any]
    stages: Mapping[str, float]


class RetrievalStudy:
    """Measures collections with the same experts and calibration; choices and encodings are kept.

    Args:
        experts: with posteriors, and reference pairs.
        options: defaults if absent.
        merged: label -> model that is searched with on its own, say of merged parameters.
    """

    def __init__(
        self,
        experts: ExpertSet,
        options: RetrievalOptions | None = None,
        *,
        merged: Mapping[str, Expert] | None = None,
    ) -> None:
        self._experts = experts
        self._options = options or RetrievalOptions()
        self._merged = dict(merged or {}) if "merged" in self._options.methods else {}
        self._encoder = CollectionEncoder(experts, self._options.structures(), self._merged)
        self._methods = self._options.uec_methods([e.dimension for e in experts.experts])
        self._manifests: dict[tuple[UEC, int], Manifest] = {}
        self._weights: dict[int, Array] = {}
        self._trains: dict[int, Sequence[Collection]] = {}  # keeps them alive, so that their ids stay theirs
        self._watch = Stopwatch()

    def measure(self, collection: Collection, train: Sequence[Collection] = ()) -> Measurements:
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
        labels = self._experts.labels
        kinds = self._options.kinds(labels, list(self._merged), self._methods)
        weights = {UNIFORM: np.full(len(labels), 1 / len(labels))}
        coefficients: dict[str, Array] = {}
        chosen: dict[str, Any] = {}
        if WEIGHTED in kinds:
            weights[WEIGHTED], chosen[WEIGHTED] = self._choose_weights(collection, train)
            coefficients[WEIGHTED] = np.tile(weights[WEIGHTED], (len(collection.queries), 1))
        manifests = {label: self._manifest(method, train) for label, method in self._methods.items()}
        encoded = self._encoder.encode(collection)
        scorers: dict[str, Scorer] = {label: encoded.cosine_of(k) for k, label in enumerate(labels)}
        scorers |= {label: merged_cosines(encoded, label) for label in self._merged}
        scorers |= {label: weighted_cosines(encoded, w) for label, w in weights.items()}
        for label, method in self._methods.items():
            with self._watch("coefficients"):
                scorers[label], pi = uec_scorer(method, manifests[label], encoded)
            if method.coefficients:
                coefficients[label] = pi
                chosen[label] = self._description(method, manifests[label], train)
        found = self._rank(encoded, collection, scorers)
        found[RRF] = reciprocal_rank_fusion([found[label] for label in labels])
        values: dict[str, Metrics] = {
            label: rank_metrics(collection.queries, ranking.ids(collection), RETRIEVAL_METRICS)
            for label, ranking in found.items()
        }
        values |= oracles(collection, {label: values[label] for label in labels})
        for stage, seconds in self._watch.seconds.items():
            encoded.watch.add(stage, seconds)
        return Measurements(
            collection,
            self._scope(collection),
            labels,
            kinds,
            {label: values[label] for label in kinds},
            {label: found[label] for label in kinds if label in found},
            coefficients,
            chosen,
            encoded.watch.seconds,
        )

    def _rank(
        self, encoded: EncodedCollection, collection: Collection, scorers: Mapping[str, Scorer]
    ) -> dict[str, Ranking]:
        barred = mask_passages(collection, self._scope(collection))
        sizes = (len(collection.queries), len(collection.ids))
        return rank(scorers, *sizes, barred=barred, watch=encoded.watch)

    def _scope(self, collection: Collection) -> str:
        return self._options.scopes.get(collection.name, "corpus")

    def _choose_weights(
        self, collection: Collection, train: Sequence[Collection]
    ) -> tuple[Array, dict[str, Any]]:
        with self._watch("choice of weights"):
            if train:
                source = f"train queries of {', '.join(c.name for c in train)}"
                if id(train) not in self._weights:
                    pools = [pool_candidates(e, c, self._scope(c)) for c, e in self._encode_train(train)]
                    self._weights[id(train)] = choose_weights(pools)
                weights = self._weights[id(train)]
            else:
                weights, source = self._choose_on_pairs(collection)
        labelled = dict(zip(self._experts.labels, weights.tolist(), strict=True))
        return weights, {"weights": labelled, "on": source}

    def _choose_on_pairs(self, collection: Collection) -> tuple[Array, str]:
        try:
            pairs = collection_pairs(collection, self._options.pairs, self._options.seed)
        except InvalidInputError:
            experts = len(self._experts.labels)
            return np.full(experts, 1 / experts), "nothing: too few texts for pseudo-pairs, so uniform"
        asked = as_collection(pairs)
        pool = pool_candidates(self._encoder.encode_means(asked), asked, "corpus")
        return choose_weights([pool]), f"{len(pairs)} pseudo-pairs of {collection.name}"

    def _encode_train(self, train: Sequence[Collection]) -> list[tuple[Collection, EncodedCollection]]:
        self._trains[id(train)] = train
        sampled = [c.sample(self._options.train_queries, self._options.seed) for c in train]
        return [(c, self._encoder.encode(c)) for c in sampled]

    def _manifest(self, method: UEC, train: Sequence[Collection]) -> Manifest:
        by_train = self._by_train(method, train)
        key = (method.whole, id(train) if by_train else 0)
        if key not in self._manifests:
            given = self._options.temperature
            fixed = method.temperature if method.temperature is not None else given
            temperature = 1.0 if by_train else None if isinstance(fixed, str) else fixed
            with self._watch("calibration"):
                found = self._experts.calibrate(
                    method.structure, temperature, layout=method.layout, prior=method.prior
                )
            if by_train:
                with self._watch("choice of temperature"):
                    found = self._choose_temperature(method.whole, found, train)
            self._manifests[key] = found
        return self._manifests[key]

    def _by_train(self, method: UEC, train: Sequence[Collection]) -> bool:
        return bool(train) and method.temperature is None and self._options.temperature == "train"

    def _choose_temperature(self, method: UEC, manifest: Manifest, train: Sequence[Collection]) -> Manifest:
        """The manifest under the temperature with the highest mean nDCG@10; of equal ones the highest."""
        tried = {t: replace(manifest, temperature=t) for t in sorted(self._options.temperatures)}
        means = []
        for collection, encoded in self._encode_train(train):
            scorers = {str(t): uec_scorer(method, m, encoded)[0] for t, m in tried.items()}
            rankings = self._rank(encoded, collection, scorers).values()
            found = [rank_metrics(collection.queries, r.ids(collection), (NDCG,))[NDCG] for r in rankings]
            means.append([float(values.mean()) for values in found])
        scores = dict(zip(tried, np.mean(means, axis=0).round(9).tolist(), strict=True))
        return tried[max(scores, key=lambda t: (scores[t], t))]

    def _description(self, method: UEC, manifest: Manifest, train: Sequence[Collection]) -> dict[str, Any]:
        given = method.temperature is not None or not isinstance(self._options.temperature, str)
        by_train = f"train queries of {', '.join(c.name for c in train)}"
        on = "given" if given else by_train if self._by_train(method, train) else manifest.reference
        return {
            "temperature": manifest.temperature,
            "on": on,
            "reference": manifest.reference,
            "prior": {e.label: e.prior for e in manifest.experts},
            "zero": {e.label: e.query_zero for e in manifest.experts},
        }


def oracles(collection: Collection, singles: Mapping[str, Metrics]) -> dict[str, Metrics]:
    """Upper bounds of choosing one expert: the best for each domain, and for each query, by nDCG@10 on the answers.

    Args:
        collection: its queries' domains count.
        singles: expert -> metric -> `[n]`.

    Returns:
        `oracle domain` and `oracle query` -> metric -> `[n]`. Between experts of equal nDCG@10, MAP decides.
    """
    quality = np.stack([v[NDCG] + 1e-6 * v[MAP] for v in singles.values()])
    domains = np.array([q.domain or collection.name for q in collection.queries])
    best_domain = np.zeros(len(domains), dtype=int)
    for domain in collection.domains:
        rows = domains == domain
        best_domain[rows] = int(quality[:, rows].mean(axis=1).argmax())
    every = np.arange(len(domains))
    return {
        label: {m: np.stack([v[m] for v in singles.values()])[best, every] for m in RETRIEVAL_METRICS}
        for label, best in ((ORACLE_DOMAIN, best_domain), (ORACLE_QUERY, quality.argmax(axis=0)))
    }


def as_collection(pairs: CalibrationPairs) -> Collection:
    """Pairs as a test collection: each query's only relevant passage is its positive."""
    ids = [str(i) for i in range(len(pairs))]
    queries = [Query(i, text, {i: 1}) for i, text in zip(ids, pairs.queries, strict=True)]
    return Collection("pairs", pairs.source, ids, pairs.positives, [None] * len(ids), queries)
