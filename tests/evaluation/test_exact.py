"""Blocks of scores against the package's own path and a loop over single numbers."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.retrieval_small import manifest, random_collection, random_encoded, rank_all
from uec_retriever.convolution import convolve_block
from uec_retriever.engine.ensemble import fuse_documents, fuse_queries
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.exact import top
from uec_retriever.evaluation.methods import UEC, RetrievalOptions, uec_scorer, weighted_cosines
from uec_retriever.evaluation.stopwatch import Stopwatch
from uec_retriever.similarity import moments, similarity

ALL = slice(0, 7)


def naive_score(encoded, manifest, structure, q, d, *, coefficients=True, similarity=True):
    """One score of the block layout, number by number."""
    queries, documents = encoded.queries.gaussians[structure], encoded.documents.gaussians[structure]
    raw = []
    for gaussian, entry in zip(queries, manifest.experts, strict=True):
        u = np.log(sum(gaussian.variance[q])) - entry.query_zero
        raw.append(entry.prior * np.exp(-u / manifest.temperature))
    pi = [r / sum(raw) for r in raw] if coefficients else [1 / len(raw)] * len(raw)
    mean = variance = 0.0
    for weight, asked, found in zip(pi, queries, documents, strict=True):
        traces = [max(1, sum(asked.variance[q])), max(1, sum(found.variance[d]))]
        for mu_q, var_q, mu_d, var_d in zip(
            asked.mean[q], asked.variance[q], found.mean[d], found.variance[d], strict=True
        ):
            var_q, var_d = var_q / traces[0], var_d / traces[1]
            mean += weight * mu_q * mu_d
            variance += weight**2 * (mu_q**2 * var_d + var_q * mu_d**2 + var_q * var_d)
    variance = min(variance, 1 - mean**2)
    return mean / np.sqrt(1 + np.pi * variance / 8) if similarity else mean


@pytest.mark.parametrize("structure", ["diag", "kron"])
@pytest.mark.parametrize(
    ("coefficients", "similarity"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_block_scores_against_a_loop(structure, coefficients, similarity):
    encoded, settings = random_encoded(), manifest(structure)
    method = UEC(structure, coefficients=coefficients, similarity=similarity)
    scorer, weights = uec_scorer(method, settings, encoded)
    found = scorer(ALL)
    parts = {"coefficients": coefficients, "similarity": similarity}
    expected = [
        [naive_score(encoded, settings, structure, q, d, **parts) for d in range(23)] for q in range(7)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_block_scores_equal_the_path_of_an_index():
    encoded, settings = random_encoded(), manifest()
    queries, _ = fuse_queries(encoded.queries.gaussians["kron"], settings)
    bounded = convolve_block([g.bounded() for g in encoded.documents.gaussians["kron"]])
    expected, _ = similarity(*moments(queries, bounded))
    found = uec_scorer(UEC(), settings, encoded)[0](ALL)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_pairs_that_say_nothing_leave_variances_out():
    encoded, silent = random_encoded(), replace(manifest(), informative=False)
    plain = uec_scorer(UEC(similarity=False), manifest(), encoded)[0](ALL)
    np.testing.assert_array_equal(uec_scorer(UEC(), silent, encoded)[0](ALL), plain)


def test_sum_scores_against_fused_vectors():
    encoded, settings = random_encoded(dimensions=(5, 5)), manifest(layout="sum")
    scorer, weights = uec_scorer(UEC(layout="sum", similarity=False), settings, encoded)
    found = scorer(ALL)
    documents, document_weights = fuse_documents(encoded.documents.gaussians["kron"], settings)
    q = sum(weights[3, k] * encoded.queries.means[k][3] for k in range(2))
    d = sum(document_weights[9, k] * encoded.documents.means[k][9] for k in range(2))
    assert found[3, 9] == pytest.approx(q @ d / np.linalg.norm(q) / np.linalg.norm(d), rel=1e-9)
    whole = uec_scorer(UEC(layout="sum"), settings, encoded)[0](ALL)
    assert (np.abs(whole) < np.abs(found)).all()


def test_neither_part_is_the_uniform_ensemble():
    encoded, collection = random_encoded(), random_collection()
    neither = uec_scorer(UEC("diag", coefficients=False, similarity=False), manifest("diag"), encoded)[0]
    scorers = {"uniform": weighted_cosines(encoded, np.array([0.5, 0.5])), "neither": neither}
    found = rank_all(scorers, collection, depth=10)
    np.testing.assert_array_equal(found["uniform"].documents, found["neither"].documents)


def test_blocks_change_nothing():
    encoded, collection = random_encoded(), random_collection()
    scorers = {"one": encoded.cosine_of(0), "UEC": uec_scorer(UEC(), manifest(), encoded)[0]}
    whole = rank_all(scorers, collection, depth=5)
    parts = rank_all(scorers, collection, depth=5, block=2, watch=encoded.watch)
    for label in scorers:
        np.testing.assert_array_equal(whole[label].documents, parts[label].documents)
        np.testing.assert_allclose(whole[label].scores, parts[label].scores, rtol=1e-12)
    assert {"cosines", "similarity kron", "scores", "ranking"} == set(encoded.watch.seconds)
    assert whole["one"].ids(collection)["q2"] == [f"d{i}" for i in whole["one"].documents[2]]


def test_top_against_a_full_sort():
    scores = np.random.default_rng(3).integers(0, 9, (20, 40)).astype(float)
    scores[4, :38] = -np.inf
    for depth in (1, 7, 40, 60):
        documents, values = top(scores, depth)
        for row in range(20):
            best = sorted(range(40), key=lambda i: (-scores[row, i], i))[:depth]  # noqa: B023
            np.testing.assert_array_equal(values[row], scores[row, best])
            if depth >= 40 and row != 4:  # where the cut goes through equal scores, which of them is open
                assert documents[row].tolist() == best
    documents, values = top(scores, 5)
    assert sorted(documents[4].tolist()) == [-1, -1, -1, 38, 39]


def test_excluded_passages_and_groups_are_left_out():
    from dataclasses import replace

    encoded, collection = random_encoded(), random_collection(groups=["ab"[i % 2] for i in range(23)])
    queries = [
        replace(q, group="ab"[i % 2], excluded=frozenset({f"d{i}", "unknown"}))
        for i, q in enumerate(collection.queries)
    ]
    collection = replace(collection, queries=queries)
    found = rank_all({"one": encoded.cosine_of(0)}, collection, depth=30)["one"]
    for row, ranking in enumerate(found.documents):
        assert set(ranking[ranking >= 0]) == set(range(23)) - {row}
    inside = rank_all({"one": encoded.cosine_of(0)}, collection, "group", depth=30)["one"]
    for row, ranking in enumerate(inside.documents):
        assert set(ranking[ranking >= 0]) == set(range(row % 2, 23, 2)) - {row}


def test_labels_and_kinds():
    found = RetrievalOptions(["diag", "kron", "sum", "ablation"]).uec_methods([4, 4])
    assert list(found) == [
        "UEC diag", "UEC kron", "UEC diag sum", "UEC kron sum",
        "UEC diag, no similarity", "UEC diag, no coefficients", "UEC diag, neither",
        "UEC kron, no similarity", "UEC kron, no coefficients", "UEC kron, neither",
    ]  # fmt: skip
    assert [m.kind for m in found.values()] == ["uec"] * 4 + ["ablation"] * 6
    assert "UEC kron sum" not in RetrievalOptions(["kron", "sum"]).uec_methods([4, 6])
    with pytest.raises(InvalidInputError, match="structure of"):
        UEC("full")


def test_inner_stages_are_counted_once(monkeypatch):
    clock = iter([0.0, 1.0, 6.0, 8.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    watch = Stopwatch()
    with watch("outer"), watch("inner"):
        pass
    assert watch.seconds == {"inner": 5.0, "outer": 3.0}
