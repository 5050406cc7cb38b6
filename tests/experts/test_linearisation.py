"""The linearised path from the last layer's weights to z, against the real model with other weights.

With the statistics (mean and scale) of the normalisation layers frozen, z is exactly linear in W:
`z(W + dW) - z(W) = gamma * (dW g)`, however large dW.
"""

import logging

import pytest
import torch
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling
from torch import nn

from devtools.tiny import ARCHITECTURES, HIDDEN
from uec_retriever.experts.expert import Expert

log = logging.getLogger(__name__)
POOLINGS = ("mean", "cls", "lasttoken", "weightedmean", "mean_sqrt_len_tokens")


def perturbation(expert, seed=1):
    """A random dW as large as W itself, in the shape of the module's parameter."""
    weight = next(expert.last_layer.linear.parameters())
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(weight.shape, generator=generator) * weight.std().detach()


def propagated(expert, texts, dw):
    """gamma * (dW g) by the library, `[n, D]`."""
    linearised = expert.linearise(texts, "document")
    if expert.last_layer.is_bag:
        return linearised.gain * torch.sparse.mm(linearised.features, dw[:, : expert.dimension])
    return linearised.gain * (linearised.features @ dw[: expert.dimension].T)


def changed(expert, texts, dw, raw_embedding):
    """z(W + dW) - z(W) by running the model with the changed weight, `[n, D]`."""
    weight = next(expert.last_layer.linear.parameters())
    before = raw_embedding(expert.model, texts)
    original = weight.detach().clone()
    with torch.no_grad():
        weight.add_(dw)
        after = raw_embedding(expert.model, texts)
        weight.copy_(original)
    return after - before


def derivative(expert, texts, dw):
    """dz in the direction dW with everything free to move, `[n, D]`, by automatic differentiation."""
    name = f"{expert.last_layer.name}.weight"
    features = expert.model.preprocess(texts)
    body = nn.Sequential(*[m for m in expert.model if type(m).__name__ != "Normalize"])

    def z(weight):
        return torch.func.functional_call(body, {name: weight}, ({**features},))["sentence_embedding"]

    weight = expert.model.get_parameter(name).detach()
    return torch.autograd.functional.jvp(z, weight, dw)[1]


def assert_equal(result, oracle):
    torch.testing.assert_close(result, oracle, rtol=1e-4, atol=1e-4 * float(oracle.abs().max()))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_features_and_gain_against_changed_weights_under_frozen_norms(
    tiny, frozen, raw_embedding, texts, architecture, pooling
):
    expert = Expert(tiny(architecture, pooling=pooling), "tiny")
    dw = perturbation(expert)
    with frozen(expert.model, [n.name for n in expert.last_layer.token_norms], texts):
        oracle = changed(expert, texts, dw, raw_embedding)
    assert float(oracle.norm()) > 1
    assert_equal(propagated(expert, texts, dw), oracle)


@pytest.mark.parametrize("options", [{"truncate_dim": 12}, {"pooling": "cls", "truncate_dim": 7}], ids=str)
def test_truncated_embedding_against_changed_weights_under_frozen_norms(
    tiny, frozen, raw_embedding, texts, options
):
    expert = Expert(tiny("bert", **options), "tiny")
    dw = perturbation(expert)
    with frozen(expert.model, [n.name for n in expert.last_layer.token_norms], texts):
        oracle = changed(expert, texts, dw, raw_embedding)
    assert oracle.shape == (len(texts), options["truncate_dim"])
    assert_equal(propagated(expert, texts, dw), oracle)


def test_token_and_sentence_norms_against_changed_weights_under_frozen_norms(
    with_head, frozen, raw_embedding, texts
):
    head = LayerNorm(HIDDEN)
    nn.init.normal_(head.norm.weight)
    expert = Expert(with_head(head), "tiny")
    names = ["0.model.encoder.layer.1.output.LayerNorm", "2.norm"]
    dw = perturbation(expert)
    with frozen(expert.model, names, texts):
        oracle = changed(expert, texts, dw, raw_embedding)
    assert_equal(propagated(expert, texts, dw), oracle)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("width", [HIDDEN, 20])
def test_dense_head_without_activation_is_exactly_linear(with_head, raw_embedding, texts, width, residual):
    head = Dense(HIDDEN, width, activation_function=nn.Identity(), use_residual=residual)
    expert = Expert(with_head(head), "tiny")
    dw = perturbation(expert)
    assert_equal(propagated(expert, texts, dw), changed(expert, texts, dw, raw_embedding))


def test_dense_on_tokens_is_exactly_linear(with_head, raw_embedding, texts):
    head = Dense(HIDDEN, 20, activation_function=nn.Identity(), module_input_name="token_embeddings")
    expert = Expert(with_head(head, Pooling(20, "weightedmean"), pooling=False), "tiny")
    dw = perturbation(expert)
    assert_equal(propagated(expert, texts, dw), changed(expert, texts, dw, raw_embedding))


@pytest.mark.parametrize("options", [{}, {"truncate_dim": 5}], ids=str)
def test_static_embedding_is_exactly_linear(static, raw_embedding, texts, options):
    expert = Expert(static(**options), "static")
    dw = perturbation(expert)
    assert_equal(propagated(expert, texts, dw), changed(expert, texts, dw, raw_embedding))


def test_static_embedding_with_a_sentence_norm(static, frozen, raw_embedding, texts):
    model = static()
    norm = LayerNorm(16)
    nn.init.normal_(norm.norm.weight)
    model.append(norm)
    expert = Expert(model, "static")
    dw = perturbation(expert)
    with frozen(model, ["1.norm"], texts):
        oracle = changed(expert, texts, dw, raw_embedding)
    assert_equal(propagated(expert, texts, dw), oracle)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.GELU, nn.Sigmoid, nn.ReLU])
@pytest.mark.parametrize("residual", [False, True])
def test_activation_after_a_dense_head_against_automatic_differentiation(
    with_head, texts, activation, residual
):
    head = Dense(HIDDEN, HIDDEN, activation_function=activation(), use_residual=residual)
    expert = Expert(with_head(head), "tiny")
    dw = perturbation(expert)
    assert_equal(propagated(expert, texts, dw), derivative(expert, texts, dw))


def test_two_heads_and_a_norm_against_changed_weights_under_a_frozen_norm(
    with_head, frozen, raw_embedding, texts
):
    heads = Dense(HIDDEN, 24), Dense(24, 20, activation_function=nn.Identity()), LayerNorm(20)
    expert = Expert(with_head(*heads), "tiny")
    dw = perturbation(expert)
    with frozen(expert.model, ["4.norm"], texts):
        oracle = changed(expert, texts, dw, raw_embedding)
    assert_equal(propagated(expert, texts, dw), oracle)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_distance_of_the_frozen_norm_from_full_differentiation(tiny, texts, architecture):
    """A norm's own derivative projects out one direction (RMSNorm) or two (LayerNorm) of D = 32.

    For a random dW that is a relative distance of sqrt(directions / D), .18 or .25 here, .04 or .05 at
    D = 768; pooling over tokens of different directions makes it smaller.
    """
    expert = Expert(tiny(architecture), "tiny")
    directions = [perturbation(expert, seed) for seed in range(8)]
    full = torch.stack([derivative(expert, texts, dw) for dw in directions])
    linearised = torch.stack([propagated(expert, texts, dw) for dw in directions])
    distance = float((full - linearised).norm() / linearised.norm())
    norms = expert.last_layer.token_norms
    expected = (sum(2 if norm.centred else 1 for norm in norms) / HIDDEN) ** 0.5
    log.info("%s: full derivative %.3f away, %.3f expected", architecture, distance, expected)
    assert 0.6 * expected < distance < 1.2 * expected, f"{distance:.3f}, {expected:.3f} expected"
