"""Features and variances of an expert, against the model's own layers and changed or sampled weights.

"Mistake n" counts the mistakes of the authors' code (shared/style.md), each a regression test.
"""

import dataclasses

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from torch import nn

from devtools.tiny import HIDDEN, tiny_transformer
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import FactoredVariance
from uec_retriever.laplace.posterior import DiagonalPosterior

POOLINGS = ("mean", "cls", "lasttoken", "weightedmean", "mean_sqrt_len_tokens")
STRUCTURES = ("diag", "kron")


def assert_close(result, oracle, tolerance=1e-5):
    result, oracle = np.asarray(result), np.asarray(oracle)
    np.testing.assert_allclose(result, oracle, rtol=tolerance, atol=tolerance * np.abs(oracle).max())


def weights_by_definition(pooling, mask):
    """`[n, t, 1]` weight of each token for right-padded texts, written down from the definitions."""
    counts = mask.sum(1, keepdim=True)
    positions = torch.arange(mask.shape[1])[None] + 1
    weights = {
        "mean": mask / counts,
        "mean_sqrt_len_tokens": mask / counts.sqrt(),
        "cls": (positions == 1) * mask,
        "lasttoken": (positions == counts) * mask,
        "weightedmean": mask * positions / (mask * positions).sum(1, keepdim=True),
    }
    return weights[pooling][..., None]


def by_hook(made, texts, prompt=None):
    """What enters the last linear layer and its LayerNorm, and the attention mask, by the test's own hooks."""
    seen = {}
    layer = made.model[0].auto_model.encoder.layer[1].output
    hooks = [
        module.register_forward_hook(lambda m, x, y, key=key: seen.update({key: x[0]}))
        for key, module in {"linear": layer.dense, "norm": layer.LayerNorm}.items()
    ]
    features = made.model.preprocess(texts, prompt=prompt)
    with torch.no_grad():
        made.model({**features})
    for hook in hooks:
        hook.remove()
    variance = seen["norm"].var(-1, correction=0, keepdim=True) + layer.LayerNorm.eps
    return seen["linear"], variance.sqrt(), features["attention_mask"].float()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_features_are_the_pooled_input_of_the_linear_layer(tiny, texts, pooling):
    """Mistakes 1 (another layer's states), 2 (no mask), 6 (another LayerNorm) and 12 (always mean)."""
    made = Expert(tiny("bert", pooling=pooling), "tiny")
    inputs, scale, mask = by_hook(made, texts)
    oracle = (weights_by_definition(pooling, mask) * inputs / scale).sum(1)
    assert_close(made.linearise(texts, "document").features, oracle)


@pytest.mark.parametrize("pooling", ["mean", "weightedmean", "cls"])
def test_prompt_left_out_of_pooling_is_left_out_of_features(tiny, texts, pooling):
    """Mistake 12: prompts; here one of two words after [CLS], with include_prompt=False."""
    model = tiny("bert", pooling=pooling, prompts={"query": "what query "})
    model[1].include_prompt = False
    made = Expert(model, "tiny")
    inputs, scale, mask = by_hook(made, texts, "what query ")
    kept = mask.clone()
    kept[:, :3] = 0
    positions = torch.arange(mask.shape[1])[None] + 1.0
    weights = {
        "mean": kept / kept.sum(1, keepdim=True),
        "weightedmean": kept * positions / (kept * positions).sum(1, keepdim=True),
        "cls": (positions == 4) * kept,
    }[pooling][..., None]
    linearised = made.linearise(texts, "query")
    assert_close(linearised.features, (weights * inputs / scale).sum(1))
    unit = nn.functional.normalize(linearised.embeddings)
    assert_close(unit, model.encode_query(texts))


def test_heads_without_a_norm_get_none(with_head, static, raw_embedding, texts):
    """Mistake 6: an untrained LayerNorm put in between."""
    head = Dense(HIDDEN, 20, activation_function=nn.Identity())
    made = Expert(with_head(head), "tiny")
    linearised = made.linearise(texts, "document")
    assert torch.equal(linearised.gain, torch.ones(20))
    raw = linearised.features @ head.linear.weight.T + head.linear.bias
    assert_close(raw.detach(), raw_embedding(made.model, texts))
    assert_close(linearised.embeddings, raw_embedding(made.model, texts))
    bag = Expert(static(), "static")
    linearised = bag.linearise(texts, "document")
    assert torch.equal(linearised.gain, torch.ones(16))
    raw = linearised.features.to_dense() @ bag.last_layer.weight
    assert_close(raw.detach(), raw_embedding(bag.model, texts))


def only_weight(expert, row, column):
    """A posterior under which a single weight W[row, column] is uncertain, with variance 1."""
    d, i = expert.last_layer.weight.shape
    fisher = torch.full((i, d), 1e14)
    fisher[column, row] = 0
    return DiagonalPosterior(count=1, prior_precision=1.0, tau=0.05, fisher=fisher)


@pytest.mark.parametrize("weight", [(0, 0), (5, 63), (31, 0), (17, 40), (31, 63)], ids=str)
def test_variance_of_one_weight_reaches_what_that_weight_moves(tiny, frozen, raw_embedding, texts, weight):
    """Mistake 3: a slice at the wrong offset. Every weight against changing it in the model."""
    made = Expert(tiny("bert"), "tiny")
    made = made.with_posterior(only_weight(made, *weight))
    variance = made.encode(texts, "document").gaussian.variance
    before = raw_embedding(made.model, texts)
    with frozen(made.model, [made.last_layer.token_norms[0].name], texts), torch.no_grad():
        made.last_layer.linear.weight[weight] += 1
        moved = raw_embedding(made.model, texts) - before
    oracle = (moved / before.norm(dim=1, keepdim=True)) ** 2
    assert torch.count_nonzero(oracle.sum(0) > 1e-9) == 1
    assert_close(variance, oracle, 1e-3)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_mean_and_variance_are_those_of_one_sampled_vector(
    with_head, posterior, draw, raw_embedding, texts, structure
):
    """Mistakes 4 and 5: 4,000 draws of the weights of an exactly linear head, each really run."""
    head = Dense(HIDDEN, 8, activation_function=nn.Identity())
    made = Expert(with_head(head), "tiny")
    made = made.with_posterior(dataclasses.replace(posterior(made, structure), scale=0.7))
    gaussian = made.encode(texts, "document").gaussian
    norms = raw_embedding(made.model, texts).norm(dim=1, keepdim=True)
    body = SentenceTransformer(modules=[made.model[0], made.model[1]], device="cpu")
    pooled = body.encode(texts, convert_to_tensor=True).clone()
    weight = head.linear.weight.detach().clone()
    samples = []
    with torch.no_grad():
        for dw in draw(made.posterior, 4000):
            head.linear.weight.copy_(weight + dw)
            samples.append(head({"sentence_embedding": pooled})["sentence_embedding"] / norms)
    drawn = torch.stack(samples).double().numpy()
    deviation = np.sqrt(gaussian.variance / len(drawn))
    assert np.abs((drawn.mean(0) - gaussian.mean) / deviation).max() < 4.5
    # the sample variance of 4,000 normal draws deviates by sqrt(2 / 4000) = 2.2 %
    ratio = drawn.var(0) / gaussian.variance
    assert np.abs(ratio - 1).max() < 0.1
    assert abs(ratio.mean() - 1) < 0.01


@pytest.mark.parametrize("structure", STRUCTURES)
def test_ten_times_the_scale_is_ten_times_the_variance_and_the_same_mean(tiny, expert, texts, structure):
    """Mistake 4: a variance divided by its own norm."""
    made = expert(tiny("bert"), structure)
    once = made.encode(texts, "document").gaussian
    made = made.with_posterior(dataclasses.replace(made.posterior, scale=10.0))
    tenfold = made.encode(texts, "document").gaussian
    assert np.array_equal(tenfold.mean, once.mean)
    assert_close(tenfold.variance, 10 * once.variance)
    assert (once.variance > 0).all()


def test_longer_embedding_has_a_smaller_relative_variance(with_head, expert, texts):
    """The variance of the direction is divided by |z|^2: three times the z and its deviation cancel."""
    head = Dense(HIDDEN, 8, bias=False, activation_function=nn.Identity())
    made = expert(with_head(head))
    once = made.encode(texts, "document").gaussian
    with torch.no_grad():
        head.linear.weight.mul_(3)
    tripled = made.encode(texts, "document").gaussian
    assert_close(tripled.mean, once.mean)
    assert_close(tripled.variance, once.variance / 9)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("width", [12, 40])
def test_no_size_is_hard_coded(tmp_path, expert, texts, layers, width):
    """Mistake 15: 768, 3072 and twelve layers."""
    transformer = tiny_transformer(tmp_path, "bert", layers=layers)
    modules = [transformer, Pooling(HIDDEN), Dense(HIDDEN, width), Normalize()]
    made = expert(SentenceTransformer(modules=modules, device="cpu"))
    assert (made.dimension, made.encode(texts, "query").gaussian.dimension) == (width, width)
    plain = expert(SentenceTransformer(modules=modules[:2], device="cpu"))
    assert plain.last_layer.name.startswith(f"0.model.encoder.layer.{layers - 1}.")
    assert plain.encode(texts, "query").gaussian.dimension == HIDDEN


@pytest.mark.parametrize("head", [None, nn.Tanh()], ids=["norm", "tanh"])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_variance_is_kept_in_factors_where_it_has_them(tiny, with_head, expert, texts, structure, head):
    """Against gain^2 times the posterior's own output variance, over |z|^2."""
    made = expert(
        tiny("bert") if head is None else with_head(Dense(HIDDEN, 20, activation_function=head)), structure
    )
    linearised = made.linearise(texts, "document")
    gaussian = made.gaussian(linearised)
    assert isinstance(gaussian.spread, FactoredVariance) == (structure == "kron" and head is None)
    output = made.posterior.output_variance(linearised.features)
    oracle = linearised.gain**2 * output / linearised.embeddings.norm(dim=1, keepdim=True) ** 2
    assert_close(gaussian.variance, oracle)


def test_many_texts_keep_their_factors(tiny, expert, texts):
    gaussian = expert(tiny("bert"), "kron").encode(texts * 65, "document", batch_size=64).gaussian
    assert gaussian.spread.basis.shape == (1, HIDDEN)
