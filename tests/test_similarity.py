"""Oracles: sampled vectors, naive loops, numerical integration, scipy's matrix square root."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.linalg import sqrtm
from scipy.special import expit
from scipy.stats import norm

import uec_retriever
from uec_retriever.convolution import convolve_block
from uec_retriever.gaussian import GaussianEmbedding, normalise
from uec_retriever.similarity import (
    join_moments,
    moments,
    paired_moments,
    probit_score,
    similarity,
    unit_score,
    wasserstein2_squared,
)

D = 6


def gaussians(n, seed=0, scale=1.0):
    """Unit means; deviations from 0.1 to 0.5 times `scale`."""
    random = np.random.default_rng(seed)
    mean = random.standard_normal((n, D))
    deviation = scale * random.uniform(0.1, 0.5, (n, D))
    return GaussianEmbedding(mean / np.linalg.norm(mean, axis=1, keepdims=True), deviation**2)


def test_joined_moments_are_those_of_blocks_with_weighted_queries():
    queries = [gaussians(3), gaussians(3, seed=2)]
    candidates = [gaussians(4, seed=1), gaussians(4, seed=3)]
    weights = np.tile([0.3, 0.7], (3, 1))
    wanted = moments(convolve_block(queries, weights), convolve_block(candidates))
    parts = [moments(q, c) for q, c in zip(queries, candidates, strict=True)]
    for found, each in zip(join_moments(parts, [0.3, 0.7]), wanted, strict=True):
        np.testing.assert_allclose(found, each, rtol=1e-12)


def test_moments_match_naive_loop():
    queries, candidates = gaussians(3), gaussians(4, seed=1)
    mean, variance = moments(queries, candidates)
    for q in range(3):
        for c in range(4):
            m = v = 0.0
            for d in range(D):
                mq, mc = queries.mean[q, d], candidates.mean[c, d]
                vq, vc = queries.variance[q, d], candidates.variance[c, d]
                m += mq * mc
                v += mq**2 * vc + vq * mc**2 + vq * vc
            assert mean[q, c] == pytest.approx(m, rel=1e-12)
            assert variance[q, c] == pytest.approx(v, rel=1e-12)


def test_paired_moments_are_the_diagonal():
    one, other = gaussians(5), gaussians(5, seed=1)
    for row_by_row, of_all in zip(paired_moments(one, other), moments(one, other), strict=True):
        np.testing.assert_allclose(row_by_row, np.diagonal(of_all))


def test_moments_match_monte_carlo():
    """500 000 samples: the variance deviates by about 0.3 %, the mean by 0.0007; tolerances 5 times that."""
    queries, candidates = gaussians(2), gaussians(3, seed=1)
    mean, variance = moments(queries, candidates)
    random = np.random.default_rng(2)

    def draw(gaussian, row):
        noise = random.standard_normal((500_000, D))
        return gaussian.mean[row] + np.sqrt(gaussian.variance[row]) * noise

    for q in range(2):
        left = draw(queries, q)
        for c in range(3):
            s = (left * draw(candidates, c)).sum(axis=1)
            assert mean[q, c] == pytest.approx(s.mean(), abs=0.004)
            assert variance[q, c] == pytest.approx(s.var(), rel=0.015)


def test_moments_are_symmetric_and_certain_without_variance():
    queries, candidates = gaussians(3), gaussians(4, seed=1)
    for one, other in zip(moments(queries, candidates), moments(candidates, queries), strict=True):
        np.testing.assert_allclose(one, other.T)
    sure = [GaussianEmbedding(g.mean, 0 * g.variance) for g in (queries, candidates)]
    assert (moments(*sure)[1] == 0).all()


def test_mistake_11_mean_of_the_score_is_the_cosine_whatever_the_lengths():
    raw = [np.random.default_rng(s).standard_normal((3, D)) * [[0.1], [1], [50]] for s in range(2)]
    mean, _ = moments(*(normalise(z, np.ones_like(z)) for z in raw))
    for q in range(3):
        for c in range(3):
            a, b = raw[0][q], raw[1][c]
            assert mean[q, c] == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)), rel=1e-10)


@pytest.mark.parametrize("mean", [-1.0, -0.2, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("variance", [1e-6, 0.01, 0.3, 1.0, 4.0])
def test_probit_score_matches_expected_sigmoid_by_integration(mean, variance):
    """MacKay's approximation: within 0.007 times the variance, at most 0.01; without it, 0.045 times."""
    deviation = np.sqrt(variance)
    bounds = mean - 10 * deviation, mean + 10 * deviation
    exact, _ = quad(lambda s: expit(s) * norm.pdf(s, mean, deviation), *bounds, epsabs=0, epsrel=1e-11)
    got = expit(probit_score(np.array(mean), np.array(variance)))
    assert got == pytest.approx(exact, abs=min(0.007 * variance, 0.01))


def test_mistake_10_probit_uses_beta_pi_over_eight_without_being_asked():
    mean, variance = np.array([0.8, -0.8, 0.3]), np.array([1.5, 1.5, 0.0])
    expected = mean / np.sqrt(1 + np.pi * variance / 8)
    np.testing.assert_allclose(probit_score(mean, variance), expected, rtol=1e-12)
    assert abs(probit_score(mean, variance)[0]) < 0.8 and probit_score(mean, variance)[2] == 0.3


def probit_formulas(folder):
    written = re.compile(r"pi\s*/\s*8|pi\s*\*\s*\w+\s*/\s*8|0\.39269|0\.125\s*\*\s*\S*pi")
    return [
        (path.name, line.strip())
        for path in sorted(folder.rglob("*.py"))
        for line in path.read_text().splitlines()
        if written.search(line) and "`" not in line
    ]


def test_mistake_10_there_is_one_probit_formula_in_the_package(tmp_path):
    found = probit_formulas(Path(uec_retriever.__file__).parent)
    assert [name for name, _ in found] == ["similarity.py"], found
    (tmp_path / "other.py").write_text("s = m / np.sqrt(1 + np.pi * v / 8)\n")  # the search can find one
    assert len(probit_formulas(tmp_path)) == 1


@settings(deadline=None, max_examples=100)
@given(st.floats(-1, 1, allow_subnormal=False), st.floats(0, 100), st.floats(1e-3, 100))
def test_probit_score_shrinks_towards_zero_with_variance(mean, variance, more):
    score, lower = (float(probit_score(np.array(mean), np.array(v))) for v in (variance, variance + more))
    assert abs(lower) <= abs(score) <= abs(mean)
    assert np.sign(score) == np.sign(mean)


def test_unit_score_keeps_order_and_bounds():
    scores = np.array([-1.0 - 1e-7, -1.0, -0.3, 0.0, 0.7, 1.0, 1.0 + 1e-7])
    got = unit_score(scores)
    np.testing.assert_allclose(got, [0, 0, 0.35, 0.5, 0.85, 1, 1], atol=1e-6)
    assert got.min() == 0 and got.max() == 1 and (np.diff(got) >= 0).all()


def test_wasserstein_matches_the_general_formula_with_sqrtm():
    queries, candidates = gaussians(3), gaussians(4, seed=1)
    got = wasserstein2_squared(queries, candidates)
    for q in range(3):
        for c in range(4):
            a, b = np.diag(queries.variance[q]), np.diag(candidates.variance[c])
            root = sqrtm(a)
            cross = sqrtm(root @ b @ root).real
            expected = np.sum((queries.mean[q] - candidates.mean[c]) ** 2) + np.trace(a + b - 2 * cross)
            assert got[q, c] == pytest.approx(expected, rel=1e-8)


def test_theorem_1_score_and_wasserstein_differ_by_the_square_of_the_deviations():
    """|s^ - (1 - W2^2 / 2)| <= C eps^2: each tenth of eps takes a hundredth, and C is bounded."""
    gaps = []
    for eps in (1e-1, 1e-2, 1e-3):
        queries, candidates = gaussians(20, scale=eps), gaussians(30, seed=1, scale=eps)
        score = probit_score(*moments(queries, candidates))
        gaps.append(np.abs(score - (1 - wasserstein2_squared(queries, candidates) / 2)))
    for larger, smaller in zip(gaps, gaps[1:], strict=False):
        np.testing.assert_allclose(smaller.max() * 100, larger.max(), rtol=0.05)
        np.testing.assert_allclose(smaller.mean() * 100, larger.mean(), rtol=0.05)
    assert gaps[-1].max() < D * (0.5 * 1e-3) ** 2  # half |sigma_q - sigma_c|^2 and pi v / 16
    assert gaps[-1].min() >= 0 and gaps[0].max() > 1e-4


def test_first_order_score_is_the_cosine_as_half_a_squared_distance():
    queries, candidates = gaussians(3, scale=0), gaussians(4, seed=1, scale=0)
    score = probit_score(*moments(queries, candidates))
    np.testing.assert_allclose(score, 1 - wasserstein2_squared(queries, candidates) / 2, atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.floats(-1, 1))
def test_the_bound_of_the_variance_is_reached_by_a_coin_with_that_mean(mean):
    outcomes, chances = np.array([-1.0, 1.0]), np.array([(1 - mean) / 2, (1 + mean) / 2])
    variance = chances @ outcomes**2 - (chances @ outcomes) ** 2
    score, deviation = similarity(np.array([mean]), np.array([1e6]))
    assert deviation[0] ** 2 == pytest.approx(max(0, variance), abs=1e-12)
    assert score[0] == pytest.approx(mean / np.sqrt(1 + np.pi * max(0, variance) / 8), abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 8), st.integers(0, 1000))
def test_no_unit_vectors_have_more_variance_than_the_bounds(dimension, seed):
    random = np.random.default_rng(seed)
    sides = [random.standard_normal((9, dimension)) + random.uniform(0, 3) for _ in range(2)]
    q, c = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    s = (q * c).sum(axis=1)
    assert s.var() <= 1 - s.mean() ** 2 + 1e-12
    assert q.var(axis=0).sum() <= 1


def test_ordinary_variances_stay_as_they_are():
    mean, variance = np.array([0.9, -0.5, 0.0]), np.array([0.01, 0.2, 0.99])
    score, deviation = similarity(mean, variance)
    np.testing.assert_array_equal(score, probit_score(mean, variance))
    np.testing.assert_array_equal(deviation, np.sqrt(variance))


ANY_VARIANCE = st.floats(-12, 6).map(lambda exponent: 10.0**exponent)


@st.composite
def crowds(draw):
    """Unit Gaussians of any variances, near one another or far, and the position of one."""
    dimension, number = draw(st.integers(1, 12)), draw(st.integers(2, 10))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    mean = random.standard_normal(dimension) + draw(ANY_VARIANCE) * random.standard_normal(
        (number, dimension)
    )
    scales = np.array(draw(st.lists(ANY_VARIANCE, min_size=number, max_size=number)))
    variance = scales[:, None] * random.uniform(0, 1, (number, dimension))
    unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return GaussianEmbedding(unit, variance), draw(st.integers(0, number - 1))


@settings(deadline=None, max_examples=300)
@given(crowds(), st.booleans())
def test_the_text_itself_ranks_first_whatever_the_variances(crowd, bounded):
    texts, itself = crowd
    texts = texts.bounded() if bounded else texts
    (score,), (deviation,) = similarity(*moments(texts[[itself]], texts))
    assert score[itself] == pytest.approx(1, abs=1e-12)
    assert score[itself] >= score.max() - 1e-12
    assert (deviation >= 0).all() and (deviation <= 1).all()


@settings(deadline=None, max_examples=300)
@given(crowds())
def test_variances_move_no_rank_by_more_than_the_deviation_allows(crowd):
    texts, itself = crowd
    mean, variance = (rows[0] for rows in moments(texts[[itself]], texts))
    score, deviation = similarity(mean, variance)
    for better in range(len(texts)):
        for worse in range(len(texts)):
            if mean[better] > mean[worse] and score[better] < score[worse]:
                nearest = min(abs(mean[better]), abs(mean[worse]))
                drawn = deviation[better if mean[better] > 0 else worse]
                lead = mean[better] - mean[worse]
                assert lead <= np.pi / 16 * nearest * drawn**2 + 1e-12
                assert lead <= drawn**2 / 5 + 1e-12
