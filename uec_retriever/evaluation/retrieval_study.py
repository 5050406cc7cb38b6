"""One collection, every method: encoded once, weights and temperatures chosen elsewhere, then measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.choosing import LabelledSet, mean_ndcg
from uec_retriever.evaluation.collection import Collection, Query
from uec_retriever.evaluation.collection_encoder import CollectionEncoder
from uec_retriever.evaluation.exact import Ranking, Scorer, mask_passages, rank
from uec_retriever.evaluation.expert_set import ExpertSet, collection_pairs
from uec_retriever.evaluation.fusion import choose_weights, pool_candidates, reciprocal_rank_fusion
from uec_retriever.evaluation.hybrid import CONVEX, WORDS, choose_weights_of_words, words_scorer
from uec_retriever.evaluation.methods import (
    RRF,
    UEC,
    UNIFORM,
    WEIGHTED,
    RetrievalOptions,
    merged_cosines,
    uec_scorer,
    weighted_cosines,
)
from uec_retriever.evaluation.metrics import RETRIEVAL_METRICS, rank_metrics
from uec_retriever.evaluation.oracles import Metrics, oracles
from uec_retriever.evaluation.stopwatch import Stopwatch
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import Array
from uec_retriever.store.manifest import Manifest


@dataclass(frozen=True, eq=False)
class Measurements:
    """Every method on one collection, query by query.

    Attributes:
        collection: what was asked.
        scope: `corpus` or `group`.
        labels: of the dense experts.
        kinds: label of a method -> its kind, in the order of the table.
        values: label -> metric -> `[n]`.
        rankings: label -> rankings; oracles have none.
        coefficients: label -> expert -> `[n]` trust in it, of methods that weigh them.
        chosen: weights, temperatures and priors, and what they were chosen on.
        stages: seconds of each stage, for all methods together; encoding as it was when it was done.
    """

    collection: Collection
    scope: str
    labels: Sequence[str]
    kinds: Mapping[str, str]
    values: Mapping[str, Metrics]
    rankings: Mapping[str, Ranking]
    coefficients: Mapping[str, Mapping[str, Array]]
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
        lexical = (self._options.lexical, self._options.analyzer) if self._options.asks_words() else None
        self._encoder = CollectionEncoder(experts, self._options.structures(), self._merged, lexical)
        self._hybrids = self._options.hybrids(experts.labels)
        self._hybrid_weights: dict[int, dict[str, float]] = {}
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
        coefficients: dict[str, dict[str, Array]] = {}
        chosen: dict[str, Any] = {}
        if WEIGHTED in kinds:
            weights[WEIGHTED], chosen[WEIGHTED] = self._choose_weights(collection, train)
            alike = np.ones(len(collection.queries))
            coefficients[WEIGHTED] = {k: w * alike for k, w in zip(labels, weights[WEIGHTED], strict=True)}
        hybrid_weights = self._choose_hybrid_weights(train)
        manifests = {label: self._manifest(method, train) for label, method in self._methods.items()}
        encoded = self._encoder.encode(collection)
        scorers: dict[str, Scorer] = {label: encoded.cosine_of(k) for k, label in enumerate(labels)}
        scorers |= {label: merged_cosines(encoded, label) for label in self._merged}
        scorers |= {label: weighted_cosines(encoded, w) for label, w in weights.items()}
        for label, method in self._methods.items():
            with self._watch("coefficients"):
                scorers[label], pi = uec_scorer(method, manifests[label], encoded)
            if method.coefficients:
                coefficients[label] = dict(zip([*labels, WORDS], pi.T, strict=False))
                chosen[label] = self._description(method, manifests[label], train)
        barred = mask_passages(collection, self._scope(collection))
        if encoded.words is not None:
            scorers[WORDS] = words_scorer(encoded)
        for label, weight in hybrid_weights.items():
            scorers[label] = self._hybrids[label].scorer(encoded, labels, barred, weight)
            chosen[label] = {"weight of words": weight}
        sizes = (len(collection.queries), len(collection.ids))
        found = rank(scorers, *sizes, barred=barred, watch=encoded.watch)
        singles = {label: found[label] for label in labels}
        found[RRF] = reciprocal_rank_fusion(list(singles.values()))
        for label, hybrid in self._hybrids.items():
            if hybrid.way not in CONVEX:
                found[label] = hybrid.fuse_ranks(found[WORDS], singles)
        values: dict[str, Metrics] = {
            label: rank_metrics(collection.queries, ranking.ids(collection), RETRIEVAL_METRICS)
            for label, ranking in found.items()
        }
        values |= oracles(collection, {label: values[label] for label in (*labels, WORDS) if label in values})
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

    def _scope(self, collection: Collection) -> str:
        return self._options.scopes.get(collection.name, "corpus")

    def _choose_weights(
        self, collection: Collection, train: Sequence[Collection]
    ) -> tuple[Array, dict[str, Any]]:
        with self._watch("choice of weights"):
            if train:
                source = f"train queries of {', '.join(c.name for c in train)}"
                if id(train) not in self._weights:
                    pools = [
                        pool_candidates(one.encoded, one.collection, one.scope)
                        for one in self._encode_train(train)
                    ]
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

    def _encode_train(self, train: Sequence[Collection]) -> Iterator[LabelledSet]:
        self._trains[id(train)] = train
        for collection in train:
            sampled = collection.sample(self._options.train_queries, self._options.seed)
            yield LabelledSet(sampled, self._encoder.encode(sampled), self._scope(collection))

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
        scores = mean_ndcg(
            self._encode_train(train),
            lambda one: {t: uec_scorer(method, m, one.encoded)[0] for t, m in tried.items()},
        )
        return tried[max(scores, key=lambda t: (scores[t], t))]

    def _choose_hybrid_weights(self, train: Sequence[Collection]) -> dict[str, float]:
        """Label -> the weight of words that is given, or that train queries like best, or 1/2."""
        given = self._options.hybrid_weights
        convex = {label: hybrid for label, hybrid in self._hybrids.items() if hybrid.way in CONVEX}
        open_ = {label: hybrid for label, hybrid in convex.items() if label not in given}
        if open_ and train and id(train) not in self._hybrid_weights:
            with self._watch("choice of weights"):
                found = choose_weights_of_words(open_, self._experts.labels, self._encode_train(train))
            self._hybrid_weights[id(train)] = found
        known = {**self._hybrid_weights.get(id(train), {}), **given}
        return {label: known.get(label, 0.5) for label in convex}

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


def as_collection(pairs: CalibrationPairs) -> Collection:
    """Pairs as a test collection: each query's only relevant passage is its positive."""
    ids = [str(i) for i in range(len(pairs))]
    queries = [Query(i, text, {i: 1}) for i, text in zip(ids, pairs.queries, strict=True)]
    return Collection("pairs", pairs.source, ids, pairs.positives, [None] * len(ids), queries)
