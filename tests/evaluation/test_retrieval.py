"""Every method on tiny models, from collections to JSON."""

import json

import numpy as np
import pytest

from devtools.tiny import tiny_model
from tests.evaluation.retrieval_small import random_collection, write_set
from uec_retriever.cli.common import finite
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.bootstrap import interval, resample_means
from uec_retriever.evaluation.collection import load_collection, merge_collections, with_queries
from uec_retriever.evaluation.encoding_cache import EncodingCache
from uec_retriever.evaluation.expert_set import ExpertSet, collection_pairs, fit_experts
from uec_retriever.evaluation.hybrid import WEIGHTS
from uec_retriever.evaluation.methods import UEC, RetrievalOptions
from uec_retriever.evaluation.metrics import NDCG, RETRIEVAL_METRICS
from uec_retriever.evaluation.oracles import oracles
from uec_retriever.evaluation.retrieval import run_retrieval
from uec_retriever.evaluation.retrieval_study import RetrievalStudy
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.lexical import LexicalShare

LABELS = [
    "one", "two", "uniform", "weighted", "RRF", "words",
    "RRF words + one", "RRF words + two", "RRF words + all", "min-max words + one", "min-max words + two",
    "min-max words + all", "TMM words + one", "TMM words + two", "TMM words + all",
    "merged uniform", "UEC diag", "UEC kron", "UEC diag sum", "UEC kron sum", "UEC diag + words", "UEC kron + words",
    "UEC diag, no similarity", "UEC diag, no coefficients", "UEC diag, neither",
    "UEC kron, no similarity", "UEC kron, no coefficients", "UEC kron, neither", "UEC kron, T = 0", "oracle domain",
    "oracle query",
]  # fmt: skip


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experts")
    cache = EncodingCache(folder / "encodings")
    every = [
        Expert(tiny_model(folder / str(seed), seed=seed), str(seed), label=label)
        for seed, label in enumerate(["one", "two", "three"])
    ]
    return [cache.expert(e) for e in every]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return [write_set(folder / name, seed) for seed, name in enumerate(("left", "right"))]


@pytest.fixture(scope="module")
def result(experts, data):
    sets = [load_collection(folder, "test") for folder in data]
    options = RetrievalOptions(
        temperature="train",
        temperatures=(0.1, 1.0),
        variants={"UEC kron, T = 0": UEC(temperature=0.0)},
        pairs=40,
    )
    return run_retrieval(
        sets,
        experts[:2],
        options,
        merged={"merged uniform": experts[2]},
        train={"left": [load_collection(data[0], "train")]},
    )


def test_every_method_in_every_set(result):
    json.dumps(finite(result), allow_nan=False)  # as the command line writes it
    assert (result["kind"], result["baseline"], result["split"]) == ("retrieval", "uniform", "test")
    assert result["experts"] == ["one", "two"]
    assert list(result["mean"]) == LABELS
    for name in ("left", "right"):
        found = result["sets"][name]
        assert (found["documents"], found["queries"], found["domain"], found["scope"]) == (
            48,
            6,
            name,
            "corpus",
        )
        assert list(found["methods"]) == LABELS
        for method in found["methods"].values():
            assert list(method["metrics"]) == list(RETRIEVAL_METRICS)
            for cell in method["metrics"].values():
                assert 0 <= cell["low"] <= cell["mean"] <= cell["high"] <= 1
                assert cell["n"] == 6
            if "coefficients" in method:
                assert sum(method["coefficients"].values()) == pytest.approx(1)
        assert set(found["abstention"]) == {label for label in LABELS if not label.startswith("oracle")}
        assert {"nAUC", "AUC@10", "curve"} == set(found["abstention"]["UEC kron"])
        assert {
            "encode queries",
            "encode documents",
            "variances kron",
            "cosines",
            "ranking",
        } <= set(found["stages"])


def test_what_must_be_equal_is_and_bounds_hold(result):
    for found in result["sets"].values():
        ndcg = {label: m["metrics"][NDCG]["mean"] for label, m in found["methods"].items()}
        assert ndcg["UEC kron, neither"] == ndcg["UEC diag, neither"] == ndcg["uniform"]
        assert ndcg["oracle query"] >= ndcg["oracle domain"] == max(ndcg["one"], ndcg["two"], ndcg["words"])
    for label in LABELS:
        cells = [s["methods"][label]["metrics"][NDCG]["mean"] for s in result["sets"].values()]
        assert result["mean"][label][NDCG]["mean"] == pytest.approx(np.mean(cells))
        gains = [s["methods"][label]["metrics"][NDCG]["difference"]["mean"] for s in result["sets"].values()]
        difference = result["mean"][label][NDCG]["difference"]
        assert difference["mean"] == pytest.approx(np.mean(gains))
        assert difference["low"] <= difference["mean"] <= difference["high"]


def test_what_was_chosen_is_said(result):
    left, right = result["chosen"]["left"], result["chosen"]["right"]
    assert left["weighted"]["on"] == left["UEC kron"]["on"] == "train queries of left"
    assert left["UEC kron"]["temperature"] in (0.1, 1.0)
    assert right["weighted"]["on"] == "40 pseudo-pairs of right"
    assert right["UEC kron"]["on"].endswith("pairs: first sentence + title")
    assert left["UEC kron, T = 0"]["on"] == "given"
    assert left["UEC kron, T = 0"]["temperature"] == 0
    coefficients = result["sets"]["left"]["methods"]["UEC kron, T = 0"]["coefficients"]
    assert set(np.round(np.array(list(coefficients.values())) * 6, 9) % 1) == {0}
    with_words = result["sets"]["left"]["methods"]["UEC kron + words"]["coefficients"]
    assert list(with_words) == ["one", "two", "words"]
    assert with_words["words"] == pytest.approx(LexicalShare().prior)
    assert left["TMM words + one"]["weight of words"] in WEIGHTS
    assert right["TMM words + one"]["weight of words"] == 0.5


def test_one_calibration_for_a_merged_corpus(experts, data):
    tests, trains = ([load_collection(folder, split) for folder in data] for split in ("test", "train"))
    whole = merge_collections(tests)
    assert whole.domains == ["left", "right"]
    assert (len(whole.ids), len(whole.queries), whole.ids[48]) == (96, 12, "right/d0")
    collections = whole.by_domain()
    assert [c.name for c in collections] == ["left in merged", "right in merged"]
    assert all(c.texts is whole.texts and len(c.queries) == 6 for c in collections)
    tuning = with_queries(whole, trains).by_domain()
    assert tuning[0].split == "train"
    own = {e.label: collection_pairs(c, 40) for e, c in zip(experts, tests, strict=False)}
    fitted = fit_experts(experts[:2], own, ["kron"])
    known = ExpertSet(experts[:2], fitted, collection_pairs(whole, 40))
    options = RetrievalOptions(
        methods=["single", "weighted", "kron", "oracle"],
        temperature="train",
        scopes={"right in merged": "group"},
    )
    study = RetrievalStudy(known, options)
    left, right = (study.measure(c, tuning) for c in collections)
    assert list(left.kinds) == [
        "one",
        "two",
        "uniform",
        "weighted",
        "UEC kron",
        "oracle domain",
        "oracle query",
    ]
    assert left.chosen["weighted"] == right.chosen["weighted"]
    assert "choice of temperature" in left.stages
    assert "choice of temperature" not in right.stages
    ranked = right.rankings["UEC kron"].documents
    assert all(i < 0 or (i >= 48) for i in ranked.ravel())  # groups are those of the queries' own set
    assert right.values["uniform"][NDCG].shape == (6,)


def test_oracles_by_hand():
    collection = random_collection(queries=3)
    a = {m: np.array([0.2, 0.9, 0.5]) for m in RETRIEVAL_METRICS}
    b = {m: np.array([0.6, 0.1, 0.5]) for m in RETRIEVAL_METRICS}
    found = oracles(collection, {"a": a, "b": b})
    assert found["oracle domain"][NDCG].tolist() == [0.2, 0.9, 0.5]
    assert found["oracle query"]["MAP"].tolist() == [0.6, 0.9, 0.5]
    from dataclasses import replace

    queries = [replace(q, domain=d) for q, d in zip(collection.queries, "xyx", strict=True)]
    found = oracles(replace(collection, queries=queries), {"a": a, "b": b})
    assert found["oracle domain"][NDCG].tolist() == [0.6, 0.9, 0.5]


def test_the_macro_interval_against_resampling_by_hand():
    generator = np.random.default_rng(5)
    sets = [generator.random(50), generator.random(80) ** 2]
    means = []
    for values in sets:
        rows = np.random.default_rng(3).integers(0, len(values), (2000, len(values)))
        means.append([np.mean([values[i] for i in row]) for row in rows])
    found = interval(0.0, np.mean([resample_means(v, 3) for v in sets], axis=0))
    np.testing.assert_allclose([found.low, found.high], np.quantile(np.mean(means, axis=0), [0.025, 0.975]))


def test_options_that_do_not_fit(experts, data):
    collection = load_collection(data[0], "test")
    for wrong in ({"methods": ["magic"]}, {"temperature": "guess"}, {"scopes": {"left": "paper"}}):
        with pytest.raises(InvalidInputError):
            RetrievalOptions(**wrong)
    with pytest.raises(InvalidInputError, match="names of their own"):
        run_retrieval([collection, collection], experts)
    assert len(collection.shorten(10).ids) == 10
    kept = set(collection.shorten(10).ids)
    assert all(p in kept for q in collection.queries for p in q.relevance)
