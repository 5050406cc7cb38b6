"""Merging of parameters against naive loops over state dicts."""

import numpy as np
import pytest
import torch

from benchmarks.merging import task_arithmetic, weighted_average
from devtools.tiny import tiny_model
from uec_retriever.errors import InvalidInputError


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return [tiny_model(tmp_path_factory.mktemp(f"m{seed}"), "bert", seed=seed) for seed in range(3)]


def naive(terms):
    """Sum of weight * state, number by number in numpy."""
    names = [n for n, v in terms[0][1].state_dict().items() if v.is_floating_point()]
    return {n: sum(w * m.state_dict()[n].double().numpy() for w, m in terms) for n in names}


def assert_state(model, expected):
    for name, value in expected.items():
        np.testing.assert_allclose(model.state_dict()[name].double().numpy(), value, atol=1e-6, err_msg=name)


def test_weighted_average_is_the_mean_of_each_number(models):
    merged = weighted_average(models, [1, 2, 5])
    assert_state(merged, naive([(1 / 8, models[0]), (2 / 8, models[1]), (5 / 8, models[2])]))


def test_uniform_is_the_default(models):
    assert_state(weighted_average(models), naive([(1 / 3, m) for m in models]))


def test_all_weight_on_one_is_that_one(models):
    texts = ["the wing of the aircraft", "a red dog"]
    merged = weighted_average(models, [0, 1, 0])
    np.testing.assert_allclose(merged.encode(texts), models[1].encode(texts), atol=1e-6)


def test_task_arithmetic_adds_differences(models):
    base, *experts = models
    merged = task_arithmetic(base, experts, 0.3)
    expected = naive([(0.4, base), (0.3, experts[0]), (0.3, experts[1])])
    assert_state(merged, expected)


def test_limits_of_task_arithmetic(models):
    base, *experts = models
    assert_state(task_arithmetic(base, experts, 0), naive([(1, base)]))
    assert_state(task_arithmetic(base, experts, 1 / 2), naive([(1 / 2, e) for e in experts]))


def test_the_given_models_stay_as_they_are(models):
    before = [{n: v.clone() for n, v in m.state_dict().items()} for m in models]
    weighted_average(models)
    task_arithmetic(models[0], models[1:], 1.0)
    for model, state in zip(models, before, strict=True):
        assert all(torch.equal(model.state_dict()[n], v) for n, v in state.items())


def test_other_architectures_are_refused_with_the_first_difference(models, tmp_path):
    other = tiny_model(tmp_path, "mpnet")
    with pytest.raises(
        InvalidInputError, match=r"model 1 has another architecture: .* fine-tuned from one base"
    ):
        weighted_average([models[0], other])
    with pytest.raises(InvalidInputError, match="model 0 has another architecture"):
        task_arithmetic(models[0], [other], 0.5)


@pytest.mark.parametrize(
    "weights", [[1, 1], [1, -1, 1], [0, 0, 0], [1, float("nan"), 1], [1, float("inf"), 1]]
)
def test_bad_weights_are_refused(models, weights):
    with pytest.raises(InvalidInputError, match="3 models need as many weights"):
        weighted_average(models, weights)


def test_nothing_to_merge_and_infinite_scale(models):
    with pytest.raises(InvalidInputError, match="no model to merge"):
        weighted_average([])
    with pytest.raises(InvalidInputError, match="no model to merge"):
        task_arithmetic(models[0], [], 1)
    with pytest.raises(InvalidInputError, match="the scale is inf"):
        task_arithmetic(models[0], models[1:], float("inf"))
