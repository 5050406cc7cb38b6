"""Reciprocal rank fusion against the frameworks' own classes; weights against a search by hand."""

import math

import numpy as np
import pytest

from tests.evaluation.retrieval_small import random_collection, random_encoded, rank_all
from uec_retriever.evaluation.fusion import (
    best_weights,
    choose_weights,
    pool_candidates,
    reciprocal_rank_fusion,
    simplex,
)
from uec_retriever.evaluation.methods import weighted_cosines
from uec_retriever.evaluation.metrics import NDCG, rank_metrics


@pytest.fixture
def rankings():
    """Of two experts, cut so that each misses passages of the other."""
    encoded = random_encoded()
    found = rank_all({"a": encoded.cosine_of(0), "b": encoded.cosine_of(1)}, random_collection(), depth=9)
    return list(found.values())


def by_score(documents, scores):
    """Rankings up to the order of equal scores."""
    return [
        (round(s, 12), d)
        for s, d in sorted(zip(scores, documents, strict=True), key=lambda x: (-round(x[0], 12), x[1]))
    ]


def test_rrf_by_hand(rankings):
    found = reciprocal_rank_fusion(rankings, 30)
    for row in range(7):
        expected = {}
        for ranking in rankings:
            for place, document in enumerate(ranking.documents[row]):
                expected[int(document)] = expected.get(int(document), 0) + 1 / (61 + place)
        kept = found.documents[row] >= 0
        assert dict(
            zip(found.documents[row][kept].tolist(), found.scores[row][kept].tolist(), strict=True)
        ) == pytest.approx(expected)
        assert (np.diff(found.scores[row][kept]) <= 0).all()
        assert np.isneginf(found.scores[row][~kept]).all()


def test_rrf_equals_langchains_ensemble_retriever(rankings):
    ensemble = pytest.importorskip("langchain_classic.retrievers")
    from benchmarks.framework_fusion import langchain_fusion

    assert ensemble.EnsembleRetriever
    found = reciprocal_rank_fusion(rankings, 30)
    fused = langchain_fusion([r.documents for r in rankings])
    for row, documents in enumerate(fused):
        mine = found.documents[row][found.documents[row] >= 0].tolist()
        scores = dict(zip(mine, found.scores[row].tolist(), strict=False))
        assert by_score(documents, [scores[d] for d in documents]) == by_score(
            mine, [scores[d] for d in mine]
        )
        assert [round(scores[d], 12) for d in documents] == [round(scores[d], 12) for d in mine]


def test_rrf_equals_llama_indexs_fusion_retriever(rankings):
    pytest.importorskip("llama_index.core.retrievers")
    from benchmarks.framework_fusion import llama_index_fusion

    found = reciprocal_rank_fusion(rankings, 30, first_rank=0)  # LlamaIndex counts ranks from 0
    for row, (documents, theirs) in enumerate(llama_index_fusion([r.documents for r in rankings])):
        mine = found.documents[row][found.documents[row] >= 0].tolist()
        scores = dict(zip(mine, found.scores[row].tolist(), strict=False))
        np.testing.assert_allclose(theirs, [scores[d] for d in documents], rtol=1e-12)
        assert sorted(documents) == sorted(mine)


def test_the_pools_ndcg_is_that_of_ir_measures():
    encoded, collection = random_encoded(documents=60), random_collection(documents=60)
    weights = np.array([0.3, 0.7])
    pool = pool_candidates(encoded, collection, "corpus")
    ranked = rank_all({"w": weighted_cosines(encoded, weights)}, collection, depth=10)["w"]
    expected = rank_metrics(collection.queries, ranked.ids(collection), (NDCG,))[NDCG]
    np.testing.assert_allclose(pool.ndcg(weights), expected, atol=1e-6)
    lone = rank_all({"w": encoded.cosine_of(1)}, collection, depth=10)["w"]
    expected = rank_metrics(collection.queries, lone.ids(collection), (NDCG,))[NDCG]
    np.testing.assert_allclose(pool.ndcg(np.array([0.0, 1.0])), expected, atol=1e-6)


def test_the_best_weights_of_the_grid_are_chosen():
    collection = random_collection(queries=30, documents=60)
    pool = pool_candidates(random_encoded(queries=30, documents=60), collection, "corpus")
    chosen = choose_weights([pool])
    best = max(pool.ndcg(np.array([w, 1 - w])).mean() for w in np.linspace(0, 1, 11))
    assert pool.ndcg(chosen).mean() == pytest.approx(best)
    assert chosen.sum() == pytest.approx(1)


def test_equal_experts_are_weighed_alike():
    from dataclasses import replace

    encoded = random_encoded(dimensions=(4, 4))
    twice = replace(
        encoded,
        queries=replace(encoded.queries, means=[encoded.queries.means[0]] * 2),
        documents=replace(encoded.documents, means=[encoded.documents.means[0]] * 2),
    )
    np.testing.assert_allclose(
        choose_weights([pool_candidates(twice, random_collection(), "corpus")]), [0.5, 0.5]
    )


@pytest.mark.parametrize(("experts", "steps", "uniform"), [(2, 10, 0), (3, 10, 1), (4, 10, 1), (5, 5, 0)])
def test_the_simplex_is_complete(experts, steps, uniform):
    grid = list(simplex(experts))
    assert len(grid) == math.comb(steps + experts - 1, experts - 1) + uniform
    assert len({tuple(w) for w in grid}) == len(grid)
    assert any(np.allclose(w, 1 / experts) for w in grid)
    assert all(w.min() >= 0 and w.sum() == pytest.approx(1) for w in grid)


def test_weights_are_the_best_on_the_grid():
    assert best_weights(2, lambda w: -((w[0] - 0.3) ** 2)).tolist() == [0.3, 0.7]
    assert best_weights(3, lambda w: 0.0) == pytest.approx([1 / 3] * 3)
