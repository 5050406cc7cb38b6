"""Oracle: `similarity.moments` on the Gaussians that were coded."""

import base64

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uec_retriever.convolution import convolve_block, convolve_sum
from uec_retriever.errors import CorruptFileError
from uec_retriever.gaussian import FactoredVariance, GaussianEmbedding
from uec_retriever.laplace.basis import variance_basis
from uec_retriever.similarity import moments
from uec_retriever.store.codec import VarianceCodec

DIMENSIONS = (24, 40)


def basis(rank, dimension):
    return np.random.default_rng(rank + dimension).uniform(0.1, 2, (rank, dimension)).astype(np.float32)


def expert(rank, dimension, texts, seed):
    """Float32 Gaussians whose variances are told exactly by `basis(rank, dimension)`; kron-like for rank 1."""
    random = np.random.default_rng(seed)
    mean = random.standard_normal((texts, dimension))
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    variance = 1e-3 * random.uniform(0.2, 3, (texts, rank)) @ basis(rank, dimension)
    return GaussianEmbedding(mean.astype(np.float32), variance.astype(np.float32))


def setting(ranks, texts=9, queries=4):
    """A codec, weighted queries and unweighted documents, one block per rank."""
    codec = VarianceCodec([basis(r, d) for r, d in zip(ranks, DIMENSIONS, strict=False)])
    pi = np.random.default_rng(5).dirichlet(np.ones(len(ranks)), queries)
    asked = [expert(r, d, queries, 10 + r) for r, d in zip(ranks, DIMENSIONS, strict=False)]
    stored = [expert(r, d, texts, 20 + r) for r, d in zip(ranks, DIMENSIONS, strict=False)]
    return codec, convolve_block(asked, pi), convolve_block(stored)


def score_variances(codec, queries, coded):
    return np.stack([codec.score_variance(queries[[n]], coded) for n in range(len(queries))])


@pytest.mark.parametrize("ranks", [(1,), (1, 1)])
def test_score_variance_of_kron_like_variances_equals_moments(ranks):
    codec, queries, documents = setting(ranks)
    _, expected = moments(queries, documents)
    got = score_variances(codec, queries, codec.code(documents))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("ranks", [(3,), (1, 3), (4, 2)])
def test_score_variance_of_blocks_of_different_ranks_equals_moments(ranks):
    codec, queries, documents = setting(ranks)
    _, expected = moments(queries, documents)
    got = score_variances(codec, queries, codec.code(documents))
    np.testing.assert_allclose(got, expected, rtol=1e-4)  # the pseudo-inverse is float32


def test_score_variance_survives_the_strings():
    codec, queries, documents = setting((1, 1))
    coded = codec.from_strings(codec.to_strings(codec.code(documents)))
    _, expected = moments(queries, documents)
    np.testing.assert_allclose(score_variances(codec, queries, coded), expected, rtol=1e-5)


def test_score_variance_in_a_fitted_basis_is_within_its_tolerance():
    random = np.random.default_rng(0)
    profiles = random.uniform(0.1, 2, (6, 24))

    def diagonal_like(texts, seed):
        mean = np.random.default_rng(seed).standard_normal((texts, 24))
        variance = np.random.default_rng(seed + 1).dirichlet(np.ones(6), texts) @ profiles
        variance *= np.random.default_rng(seed + 2).uniform(0.99, 1.01, variance.shape)
        return GaussianEmbedding(mean / np.linalg.norm(mean, axis=1, keepdims=True), variance)

    codec = VarianceCodec([variance_basis(diagonal_like(300, 1))[0]])
    queries, documents = diagonal_like(20, 10), diagonal_like(50, 20)
    _, expected = moments(queries, documents)
    error = np.abs(score_variances(codec, queries, codec.code(documents)) / expected - 1)
    assert np.quantile(error, 0.99) < 0.02


@pytest.mark.parametrize("ranks", [(1,), (1, 3), (3, 1), (2, 4)])
def test_decoded_variance_equals_the_coded_one(ranks):
    codec, _, documents = setting(ranks)
    np.testing.assert_allclose(codec.decode_variance(codec.code(documents)), documents.variance, rtol=1e-4)


def test_decoded_variance_is_the_least_squares_one_and_never_negative():
    codec = VarianceCodec([np.array([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0]], dtype=np.float32)])
    variance = np.array([[1.0, 2.0, 4.0], [0.0, 0.0, 3.0]])
    coded = codec.code(GaussianEmbedding(np.ones((2, 3)), variance))
    expected, *_ = np.linalg.lstsq(codec.bases[0].T, variance.T, rcond=None)
    np.testing.assert_allclose(coded.coefficients, expected.T, rtol=1e-5, atol=1e-6)
    clipped = np.maximum(expected.T @ codec.bases[0], 0)
    np.testing.assert_allclose(codec.decode_variance(coded), clipped, rtol=1e-5, atol=1e-6)
    assert (clipped == 0).any()


def test_projections_are_basis_times_squared_mean():
    codec, _, documents = setting((1, 3))
    got = codec.code(documents).projections
    first, second = np.split(documents.mean**2, [DIMENSIONS[0]], axis=1)
    np.testing.assert_allclose(got[:, :1], first @ codec.bases[0].T, rtol=1e-5)
    np.testing.assert_allclose(got[:, 1:], second @ codec.bases[1].T, rtol=1e-5)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 4), st.integers(0, 5), st.integers(0, 100))
def test_strings_round_trip_float32_bit_by_bit_and_are_short(rank, texts, seed):
    codec = VarianceCodec([basis(rank, 24)])
    coded = codec.code(expert(rank, 24, texts, seed))
    strings = codec.to_strings(coded)
    again = codec.from_strings(strings)
    np.testing.assert_array_equal(again.coefficients, coded.coefficients.astype(np.float32))
    np.testing.assert_array_equal(again.projections, coded.projections.astype(np.float32))
    assert len(strings) == texts
    assert all(s.isascii() and len(s) <= 4 * -(-8 * rank // 3) for s in strings)


def test_longest_string_stays_under_a_thousand_characters_for_five_experts():
    codec = VarianceCodec([basis(16, 24)] * 5)
    means, variances = np.ones((1, 120), dtype=np.float32), np.ones((1, 120), dtype=np.float32)
    (string,) = codec.to_strings(codec.code(GaussianEmbedding(means, variances)))
    assert len(string) < 1000


def encoded(numbers):
    return base64.b64encode(np.zeros(numbers, dtype="<f4").tobytes()).decode()


@pytest.mark.parametrize(
    "strings",
    [
        [encoded(2)],
        [encoded(6)],
        [""],
        [encoded(2), encoded(6)],  # right in sum only
        [encoded(4), encoded(4)[:-4]],
        [encoded(4)[:-1]],  # no longer base64
        [encoded(4), "not base64!"],
        ["ä" * 24],
    ],
)
def test_strings_of_another_codec_are_corrupt(strings):
    codec = VarianceCodec([basis(2, 24)])
    assert codec.from_strings([encoded(4)]).coefficients.shape == (1, 2)
    with pytest.raises(CorruptFileError, match="uec reindex"):
        codec.from_strings(strings)


def test_no_texts_give_no_codes():
    codec, queries, _ = setting((1, 3))
    coded = codec.from_strings([])
    assert coded.coefficients.shape == (0, 4)
    assert codec.score_variance(queries[[0]], coded).shape == (0,)


def factored(texts, seed, gain=1.0):
    """Kron-like experts in the dimensions of `basis(1, .)`, and the same with their variances written out."""
    random = np.random.default_rng(seed)
    both = []
    for dimension in (24, 24):
        mean = random.standard_normal((texts, dimension))
        mean = (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)
        coefficients = (1e-3 * random.uniform(0.2, 3, (texts, 1))).astype(np.float32)
        profile = np.random.default_rng(len(both)).uniform(0.1, 2, (1, dimension)).astype(np.float32)
        kept = GaussianEmbedding(mean, FactoredVariance(coefficients, profile))
        both.append((kept, GaussianEmbedding(mean, coefficients @ profile)))
    return [kept for kept, _ in both], [dense for _, dense in both]


@pytest.mark.parametrize("layout", ["block", "sum"])
def test_factored_variances_are_coded_and_scored_as_dense_ones(layout):
    """Dense ones by what version 0.1.0 did: variances times the pseudo-inverse of the basis."""
    documents, queries = factored(9, 1), factored(4, 2)
    profiles = [e.spread.basis / e.spread.basis.mean() for e in documents[0]]
    pi = np.random.default_rng(5).dirichlet(np.ones(2), 9)

    def join(experts):
        if layout == "sum":
            return convolve_sum(experts, pi[: len(experts[0])])
        return convolve_block(experts, None if len(experts[0]) == 9 else pi[:4])

    bases = profiles if layout == "block" else [np.concatenate(profiles)]
    codec = VarianceCodec(bases)
    kept, dense = join(documents[0]), join(documents[1])
    asked, dense_asked = join(queries[0]), join(queries[1])
    assert isinstance(kept.spread, FactoredVariance) and not isinstance(dense.spread, FactoredVariance)
    blocks = np.split(dense.variance, [24], axis=1) if layout == "block" else [dense.variance]
    oracle = np.concatenate(
        [v @ np.linalg.pinv(b.astype(np.float64)) for v, b in zip(blocks, bases, strict=True)], axis=1
    )
    coded = codec.code(kept)
    np.testing.assert_allclose(coded.coefficients, oracle, rtol=1e-5, atol=1e-6 * oracle.max())
    np.testing.assert_array_equal(coded.projections, codec.code(dense).projections)
    np.testing.assert_allclose(codec.decode_variance(coded), dense.variance, rtol=1e-5)
    _, exact = moments(dense_asked, dense)
    for texts in (kept, dense):
        for query in (asked, dense_asked):
            np.testing.assert_allclose(score_variances(codec, query, codec.code(texts)), exact, rtol=1e-5)
    assert "variance" not in vars(kept) and "variance" not in vars(asked)  # never written out


@pytest.mark.parametrize("ranks", [(1,), (3,), (1, 3)])
def test_bounding_codes_is_coding_bounded_variances(ranks):
    """Block by block; about half of these traces are above 1."""
    blocks = [expert(r, d, 9, 20 + r) for r, d in zip(ranks, DIMENSIONS, strict=False)]
    blocks = [b.scale_variance(1 / np.median(b.trace)) for b in blocks]
    assert all(0 < (b.trace > 1).sum() < 9 for b in blocks)
    codec = VarianceCodec([basis(r, d) for r, d in zip(ranks, DIMENSIONS, strict=False)])
    got = codec.bound(codec.code(convolve_block(blocks)))
    expected = codec.code(convolve_block([b.bounded() for b in blocks]))
    np.testing.assert_allclose(got.coefficients, expected.coefficients, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(got.projections, expected.projections)
