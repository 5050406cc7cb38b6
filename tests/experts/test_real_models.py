"""Propagated variances of real models against Monte Carlo over their last layer's weights.

Weights are drawn from the fitted posterior and really put into the model; its own last layer, residual,
normalisation layer, pooling and L2 normalisation then give an embedding for each draw. Figures are logged
(`--log-cli-level=INFO`).

Two statements are checked. With small perturbations (a thousandth of the fitted covariance) the propagated
variance is the variance. With the fitted covariance, whose trace t is near 1, the sphere bounds what is
left: the trace of a normalised vector is t / (1 + t), an increasing function of t.
"""

import dataclasses
import functools
import importlib
import inspect
import logging
import re

import numpy as np
import pytest
import torch

from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fitting import fit_posterior

pytestmark = pytest.mark.models
log = logging.getLogger(__name__)

MODULES = "base64 bisect calendar difflib fnmatch glob heapq inspect json math operator os.path random shutil"
TEXTS = [
    "How do I copy a file?",
    "Return a random element from a non-empty sequence, and say what happens if it is empty.",
    "recipe",
    "The heat flux at the wall of a laminar boundary layer depends on the Prandtl number.",
    "wrap a paragraph of text to lines of a given width",
    "Shakespeare's sonnets",
]
FOREIGN = [
    "The dove flew over the ripe wheat fields of Burgundy.",
    "Patients with type 2 diabetes were given metformin for twelve weeks.",
    "A supersonic boundary layer over a slender cone at zero incidence.",
    "The court of appeal dismissed the claim for damages.",
    "Melt the butter, stir in the flour and let the sauce thicken.",
    "Her second novel tells of three sisters on an island.",
    "The central bank raised its interest rate by half a point.",
    "They beat the champions two to one in extra time.",
]
CASES = [
    ("minilm", "kron", 150),
    ("minilm", "diag", 200),
    ("wordllama", "kron", 200),
    ("wordllama", "diag", 200),
]


@functools.cache
def docstrings():
    """(first sentence, rest) of functions of the standard library."""
    found = {}
    for module in map(importlib.import_module, MODULES.split()):
        for name, item in sorted(vars(module).items()):
            if name.startswith("_") or isinstance(item, type) or not callable(item):
                continue
            first, *rest = re.split(r"(?<=[.!?])\s+", inspect.getdoc(item) or "", maxsplit=1)
            if rest and len(rest[0]) > 30:
                found[" ".join(first.split())] = " ".join(rest[0].split())[:160]
    order = np.random.default_rng(0).permutation(len(found))
    pairs = list(found.items())
    return [pairs[i] for i in order]


@functools.cache
def fitted(folder, structure, count=48):
    pairs = docstrings()[:count]
    expert = Expert.load(folder, device="cpu")
    pairs = CalibrationPairs([q for q, _ in pairs], [p for _, p in pairs])
    return fit_posterior(expert, pairs, structure=structure).expert


def tail_of_model(expert):
    """The model from its last layer on, as a function without arguments, for `TEXTS`."""
    model, seen = expert.model, {}
    features = model.preprocess(TEXTS)
    if expert.last_layer.is_bag:
        return lambda: model[0]({**features})["sentence_embedding"]
    output = model.get_submodule(expert.last_layer.name.rsplit(".", 1)[0])  # linear, residual, norm
    hooks = [
        output.register_forward_pre_hook(lambda m, x: seen.update(inputs=x)),
        model[1].register_forward_pre_hook(lambda m, x: seen.update(features=dict(x[0]))),
    ]
    with torch.no_grad():
        model({**features})
    for hook in hooks:
        hook.remove()
    return lambda: model[1]({**seen["features"], "token_embeddings": output(*seen["inputs"])})[
        "sentence_embedding"
    ]


def monte_carlo(expert, draw, draws, factor):
    """Gaussian of `TEXTS` with `factor` of the covariance, and as many unit vectors of sampled models."""
    posterior = dataclasses.replace(expert.posterior, scale=expert.posterior.scale * factor)
    gaussian = expert.with_posterior(posterior).encode(TEXTS, "query").gaussian
    run = tail_of_model(expert)
    weight = next(expert.last_layer.linear.parameters())
    original, samples, rows = weight.detach().clone(), [], slice(None)
    if expert.last_layer.is_bag:  # rows of tokens that no text has change nothing
        rows = torch.unique(expert.model.preprocess(TEXTS)["input_ids"])
    try:
        with torch.no_grad():
            unit = torch.nn.functional.normalize(run()).numpy()
            np.testing.assert_allclose(unit, gaussian.mean, atol=1e-5, err_msg="the tail is not the model")
            for dw in draw(posterior, draws, None if isinstance(rows, slice) else rows):
                weight[rows] = original[rows] + (dw.T if expert.last_layer.is_bag else dw)
                samples.append(torch.nn.functional.normalize(run(), dim=1).numpy())
    finally:
        weight.data.copy_(original)
    return gaussian, np.stack(samples).astype(np.float64)


def compare(name, draws, gaussian, samples):
    """Ratio of traces per text; correlation and deviation of log variances over living dimensions."""
    sampled = samples.var(0, ddof=1)
    ratio = sampled.sum(1) / gaussian.trace
    alive = (gaussian.variance > 1e-6 * np.median(gaussian.variance, axis=1, keepdims=True)).all(0)
    assert alive.mean() > 0.98
    assert sampled[:, ~alive].sum() <= 1e-6 * sampled.sum(), "dead dimensions must be dead in the model too"
    told, seen = np.log(gaussian.variance[:, alive].astype(np.float64)), np.log(sampled[:, alive])
    varies = (
        told.std(axis=1) > 1e-4
    )  # a text of tokens that calibration never saw has one variance throughout
    assert varies.any()
    correlation = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(told[varies], seen[varies], strict=True)])
    noise = (2 / draws) ** 0.5
    spread = told[varies].std(axis=1).mean()
    ceiling = spread / (spread**2 + noise**2) ** 0.5
    deviation = (seen - told).std()
    log.info("%s: traces, sampled / propagated %s", name, ratio.round(3))
    log.info("%s: correlation of log variances %.3f, at most %.3f by noise", name, correlation, ceiling)
    log.info(
        "%s: deviation of log ratios %.3f, %.3f by noise; %d dead", name, deviation, noise, (~alive).sum()
    )
    return ratio, correlation, ceiling, deviation / noise


def assert_linear(name, expert, draw, draws):
    gaussian, samples = monte_carlo(expert, draw, draws, 1e-3)
    ratio, correlation, ceiling, excess = compare(name, draws, gaussian, samples)
    assert (np.abs(ratio - 1) < 0.05).all(), ratio
    assert correlation > ceiling - 0.15, (correlation, ceiling)
    assert excess < 1.15, excess
    shift = ((samples.mean(0) - gaussian.mean) ** 2).sum(1) / gaussian.trace
    assert (shift < 3 / draws).all(), f"the mean moved: {shift}"


def assert_bounded_by_sphere(name, expert, draw, draws):
    gaussian, samples = monte_carlo(expert, draw, draws, 1.0)
    trace, sampled = gaussian.trace, samples.var(0, ddof=1).sum(1)
    log.info("%s as fitted: traces %s, sampled %s", name, trace.round(3), sampled.round(3))
    np.testing.assert_allclose(sampled, trace / (1 + trace), rtol=0.1)
    assert np.corrcoef(np.log(sampled), np.log(trace))[0, 1] > 0.95


@pytest.mark.parametrize(("model", "structure", "draws"), CASES)
def test_small_perturbations_have_the_propagated_variance(request, draw, model, structure, draws):
    expert = fitted(request.getfixturevalue(model), structure)
    assert_linear(f"{model} {structure}", expert, draw, draws)


@pytest.mark.parametrize(("model", "structure", "draws"), CASES)
def test_fitted_covariance_has_the_trace_that_the_sphere_leaves(request, draw, model, structure, draws):
    expert = fitted(request.getfixturevalue(model), structure)
    assert_bounded_by_sphere(f"{model} {structure}", expert, draw, draws // 3)


def test_mpnet_has_the_propagated_variance(mpnet, draw):
    expert = fitted(mpnet, "diag", 20)
    assert_linear("mpnet diag", expert, draw, 60)
    assert_bounded_by_sphere("mpnet diag", expert, draw, 20)


@pytest.mark.parametrize(
    ("model", "layer", "dimension"),
    [
        ("minilm", "0.model.encoder.layer.5.output.dense", 384),
        ("mpnet", "0.model.encoder.layer.11.output.dense", 768),
        ("wordllama", "0.embedding", 256),
    ],
)
def test_means_are_those_of_sentence_transformers(request, posterior, model, layer, dimension):
    expert = Expert.load(request.getfixturevalue(model), device="cpu")
    assert (expert.last_layer.name, expert.dimension) == (layer, dimension)
    expert = expert.with_posterior(posterior(expert))
    mean = expert.encode(TEXTS, "document").gaussian.mean
    np.testing.assert_allclose(mean, expert.model.encode(TEXTS, normalize_embeddings=True), atol=1e-5)


def test_foreign_texts_are_less_certain_than_held_out_ones_of_the_domain(minilm):
    """The signal that kron is for: same kind of text as calibrated on, or another."""
    expert = fitted(minilm, "kron")
    own = [q for q, _ in docstrings()[48:]]
    log_trace = {
        k: np.log(expert.encode(v, "query").gaussian.trace) for k, v in (("own", own), ("foreign", FOREIGN))
    }
    difference = log_trace["foreign"].mean() - log_trace["own"].mean()
    log.info("log trace: foreign texts %.3f above %d held-out ones of the domain", difference, len(own))
    assert difference > 0
