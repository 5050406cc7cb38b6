"""What domain experts gain beside words: by tiny models, and the table against numbers by hand."""

import numpy as np
import pytest

from benchmarks.domain_words import RIGHT, RightExpert, beside, gain_table, words_variants
from devtools.tiny import tiny_model
from tests.evaluation.retrieval_small import random_collection, write_set
from uec_retriever.evaluation.collection import load_collection
from uec_retriever.evaluation.expert_set import ExpertSet, collection_pairs, fit_experts
from uec_retriever.evaluation.methods import RetrievalOptions
from uec_retriever.evaluation.metrics import NDCG
from uec_retriever.evaluation.retrieval_study import Measurements, RetrievalStudy
from uec_retriever.experts.expert import Expert


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A small set, in groups, by two tiny experts."""
    folder = tmp_path_factory.mktemp("words")
    collection = load_collection(write_set(folder / "set"), "test")
    experts = [
        Expert(tiny_model(folder / str(seed), seed=seed), str(seed), label=label)
        for seed, label in enumerate(("one", "two"))
    ]
    pairs = collection_pairs(collection, 40)
    known = ExpertSet(experts, fit_experts(experts, pairs), pairs)
    methods = ("single", "uniform", "words", "kron", "sum", "oracle")
    options = RetrievalOptions(
        methods, temperature=0.2, variants=words_variants(), scopes={collection.name: "group"}
    )
    return RightExpert(known, options).add(RetrievalStudy(known, options).measure(collection))


def test_every_method_stands_there_without_words_and_with_them(measured):
    for label in ("one", "two", "uniform", RIGHT, "UEC kron", "UEC kron sum"):
        assert {label, beside(label)} <= set(measured.kinds)
        assert measured.kinds[beside(label)] != "ablation"
        assert len(measured.values[beside(label)][NDCG]) == len(measured.collection.queries)


def test_the_right_expert_is_the_best_of_the_dense_ones(measured):
    for way in (str, beside):
        best = max(measured.values[way(label)][NDCG].mean() for label in ("one", "two"))
        assert measured.values[way(RIGHT)][NDCG].mean() == pytest.approx(best)


def test_one_expert_with_words_is_half_its_cosine_and_half_words(measured):
    found, cosine = (measured.rankings[label] for label in (beside("one"), "one"))
    words = measured.rankings["words"]
    for row in range(len(found.documents)):
        parts = [
            dict(zip(r.documents[row].tolist(), r.scores[row].tolist(), strict=True)) for r in (cosine, words)
        ]
        best = int(found.documents[row][0])
        assert found.scores[row][0] == pytest.approx((parts[0][best] + parts[1].get(best, 0.0)) / 2, abs=1e-5)


def test_gains_with_words_are_over_equal_weights_with_words():
    labels = ("one", "uniform", RIGHT, "UEC kron", "UEC kron sum")

    def of(name, base, gain):
        levels = {"one": base - 0.1, "uniform": base, RIGHT: base + 0.3}
        values = {label: levels.get(label, base + gain) for label in labels}
        values |= {beside(label): 0.5 + values[label] / 10 for label in labels}
        found = {label: {NDCG: np.full(3, v)} for label, v in values.items()}
        return Measurements(random_collection(name=name), "corpus", ["one"], {}, found, {}, {}, {}, {})

    table = gain_table([of("mine", 0.4, 0.2), of("other", 0.2, 0.0)], ["mine"])
    assert table["columns"][1::2] == ["trained domains", "other domains", "all sets"]
    rows = {row[0]: row[1:] for row in table["rows"]}
    assert rows["uniform"] == ["0.4000", "", "0.2000", "", "0.3000", ""]
    assert rows["one (best single expert)"][1] == "-0.1000 [-0.1000, -0.1000]"
    assert rows["UEC kron"][1::2] == [f"{d:+.4f} [{d:+.4f}, {d:+.4f}]" for d in (0.2, 0.0, 0.1)]
    assert rows["UEC kron sum + words"][:2] == ["0.5600", "+0.0200 [+0.0200, +0.0200]"]
    assert gain_table([of("mine", 0.4, 0.2)], ["mine"])["columns"][1::2] == ["trained domains", "all sets"]
