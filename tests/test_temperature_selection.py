"""Prior and temperature of the coefficients on held-out pairs. Oracles: naive loops."""

import numpy as np
import pytest

from uec_retriever.convolution import choose_temperature, likelihood_prior, pair_likelihood


def unit_pairs(pairs, noise=0.7, dimension=12, seed=0):
    random = np.random.default_rng(seed)
    queries = random.standard_normal((pairs, dimension))
    positives = queries + noise * random.standard_normal(queries.shape)
    return [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (queries, positives)]


def naive_likelihood(queries, positives, groups, tau):
    values = []
    for group in groups:
        for i in group:
            odds = [np.exp(queries[i] @ positives[j] / tau) for j in group]
            values.append(np.log(np.exp(queries[i] @ positives[i] / tau) / sum(odds)))
    return np.array(values)


def test_pair_likelihood_matches_naive_loop_in_groups():
    queries, positives = unit_pairs(23)
    groups = [range(0, 8), range(8, 16), range(16, 23)]  # 23 // 7 = 3 groups of nearly equal size
    got = pair_likelihood(queries, positives, candidates=7)
    np.testing.assert_allclose(got.values, naive_likelihood(queries, positives, groups, got.tau), rtol=1e-9)
    assert got.mean == pytest.approx(got.values.mean(), rel=1e-12)


def test_pair_likelihood_takes_the_best_temperature():
    queries, positives = unit_pairs(40, noise=1.0)
    got = pair_likelihood(queries, positives)
    fine = [naive_likelihood(queries, positives, [range(40)], t).mean() for t in np.geomspace(0.05, 0.4, 60)]
    assert got.mean == pytest.approx(max(fine), abs=2e-3)  # nats; its grid has steps of 12 %
    assert 0.05 < got.tau < 0.4


def test_pair_likelihood_is_not_harmed_by_compressed_cosines():
    queries, positives = unit_pairs(64)
    squeezed = [np.hstack([0.4 * side, np.full((64, 1), np.sqrt(1 - 0.16))]) for side in (queries, positives)]
    assert pair_likelihood(*squeezed).mean == pytest.approx(
        pair_likelihood(queries, positives).mean, abs=2e-3
    )


def test_pair_likelihood_of_noise_is_that_of_guessing():
    queries, _ = unit_pairs(640, dimension=384)
    _, unrelated = unit_pairs(640, dimension=384, seed=1)
    assert pair_likelihood(queries, unrelated).mean == pytest.approx(-np.log(32), abs=0.05)


@pytest.mark.parametrize("pairs", [16, 39, 640])
@pytest.mark.parametrize("dimension", [8, 384])
def test_pairs_without_signal_are_found_and_others_kept(pairs, dimension):
    """16 unrelated pairs tell at most a few per cent of what they could, whatever the seed."""
    for seed in range(0, 60, 2):
        queries, positives = unit_pairs(pairs, dimension=dimension, seed=seed)
        _, unrelated = unit_pairs(pairs, dimension=dimension, seed=seed + 1)
        assert not pair_likelihood(queries, unrelated).informative
        assert pair_likelihood(queries, positives).informative


def test_what_pairs_tell_is_one_without_error_and_zero_for_guesses():
    sure = pair_likelihood(np.eye(30), np.eye(30))
    assert sure.told == pytest.approx(1, abs=1e-6)
    alike = pair_likelihood(np.ones((23, 4)), np.ones((23, 4)), candidates=7)
    assert alike.chance == pytest.approx(-(16 * np.log(8) + 7 * np.log(7)) / 23)
    assert alike.told == pytest.approx(0, abs=1e-12) and not alike.informative


def test_choose_temperature_takes_the_highest_within_one_standard_error_of_the_best():
    best = np.full(100, -1.0)
    swing = np.where(np.arange(100) % 2, 1.0, -1.0)  # deviation 1: a standard error of 0.1
    values = {
        0.05: best - 0.3 + swing,
        0.2: best,
        1.0: best - 0.09 + swing,  # cannot be told from the best
        2.0: best - 0.11 + swing,  # can
        5.0: best - 0.5,
    }
    assert choose_temperature(values) == 1.0
    assert choose_temperature(dict(reversed(values.items()))) == 1.0
    assert choose_temperature({t: values[t] for t in (0.05, 0.2, 2.0, 5.0)}) == 0.2


def test_choose_temperature_compares_pair_by_pair():
    """What varies from pair to pair alike under both temperatures is no excuse for a constant loss."""
    common = np.linspace(-5, 0, 50)
    assert choose_temperature({0.1: common, 1.0: common - 0.01}) == 0.1


def test_choose_temperature_of_equals_is_the_highest():
    same = np.linspace(-2, -1, 10)
    assert choose_temperature({0.05: same, 5.0: same, 1.0: same}) == 5.0


def test_likelihood_prior_matches_naive_formula():
    random = np.random.default_rng(0)
    values = [random.normal(mean, 0.5, 200) for mean in (-1.0, -1.4, -3.0)]
    got = likelihood_prior(values)
    odds = []
    for expert in values:
        gaps = [best - own for best, own in zip(values[0], expert, strict=True)]
        mean = sum(gaps) / 200
        error = (sum((g - mean) ** 2 for g in gaps) / 200) ** 0.5 / 200**0.5
        odds.append(np.exp(-max(0.0, mean - error)))
    np.testing.assert_allclose(got, np.array(odds) / sum(odds))
    assert got[0] > got[1] > got[2]


def test_experts_that_the_pairs_cannot_tell_apart_are_trusted_alike():
    swing = np.where(np.arange(100) % 2, 1.0, -1.0)  # deviation 1: a standard error of 0.1
    best = np.full(100, -1.0)
    np.testing.assert_allclose(likelihood_prior([best, best - 0.09 + swing]), 0.5)
    assert likelihood_prior([best, best - 0.3 + swing])[1] < 0.5
