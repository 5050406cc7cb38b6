"""Fingerprints of models that only answer: what passes for the same one, and what does not."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from tests.embeddings_server import bag_of_words
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import ModelMismatchError
from uec_retriever.experts.attachment import attach_posterior, check_fingerprint
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fingerprint import PROBES, probe_fingerprint, same_model
from uec_retriever.experts.fitting import fit_posterior
from uec_retriever.laplace.files import save_posterior


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def probes():
    return unit(np.random.default_rng(0).standard_normal((4, 384)))


def turned(vectors, cosine, rows=slice(None), seed=1):
    """Unit vectors at a given cosine to others, in random directions."""
    aside = np.random.default_rng(seed).standard_normal(vectors.shape)
    aside = unit(aside - (aside * vectors).sum(1, keepdims=True) * vectors)
    moved = vectors.copy()
    moved[rows] = (cosine * vectors + (1 - cosine**2) ** 0.5 * aside)[rows]
    return moved


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda e: e.astype(np.float16).astype(float), True),
        (lambda e: e.astype(np.float32), True),
        (lambda e: turned(e, 1 - 1e-6 / 2), True),  # noise of length 1e-3
        (lambda e: unit(e + 1e-3 * np.random.default_rng(2).standard_normal(e.shape)), True),
        (lambda e: turned(e, 0.9999), True),
        (lambda e: turned(e, 0.998), False),
        (lambda e: turned(e, 0.99), False),
        (lambda e: turned(e, 0.99, rows=[3]), False),  # as another prompt for one role alone
        (lambda e: -e, False),
        (lambda e: e[::-1], False),
        (lambda e: unit(np.random.default_rng(3).standard_normal(e.shape)), False),
        (lambda e: unit(e[:, :256]), False),
        (lambda e: e[:, np.random.default_rng(4).permutation(384)], False),
    ],
)
def test_noise_passes_and_another_model_does_not(probes, change, same):
    one, other = probe_fingerprint(probes), probe_fingerprint(change(probes))
    assert same_model(one, other) == same_model(other, one) == same
    assert same_model(other, other)


def test_a_fingerprint_is_the_same_on_each_machine():
    """An index holds it: another draw of directions would make strangers of all models."""
    told = probe_fingerprint(unit(np.arange(1.0, 13).reshape(4, 3)))
    assert same_model(told, FIXED)
    assert not same_model(probe_fingerprint(np.eye(4, 3)), FIXED)
    assert len(probe_fingerprint(np.eye(4, 3072))) < 400


FIXED = (
    "probes-1:3:TCY1s_ey9jHbLMosJS93pF0ro7Q8rv4wV7CIr4iwOC7os0Qu05sXs2IpBDKRMiWl5aj_LluvKjDqKJA"
    "x3aTGqb8s6LLnsAk0RjE6KgYw7aYXJia0Ja9kMxmura4ZsCsv27GKLHKg5rLyrDcxszLrqLQrNyn5ricuLi1oMr-mb"
    "auPLcSyT7BJNP4xRikcMIenbyP2s1Sv-DNarWOu5a9cL0GxCSwUocmy9a70MK0ygamDLZ4lz66ELd4tlDIxp86r7S2"
    "ysgewZTRQMtQoJDDMpz4hzLNnrx00AK0_rr-vcS_5sJorXKG6st-v1DCoMsSpRC7PIrquNy0tLqYyY6f4qw=="
)


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "probes-1",
        "probes-1:384:",
        "probes-1:384:%%%",
        "probes-1:384:AAAA",
        "probes-2:384:{}",
        "a" * 64,
        ":::",
        "probes-1:384:ü",
    ],
)
def test_damaged_fingerprints_are_of_another_model(probes, damaged):
    one = probe_fingerprint(probes)
    other = damaged.format(one.split(":")[2])
    assert not same_model(one, other)
    assert not same_model(other, one)


def test_a_server_with_noise_is_known_again_and_another_model_is_not(serve, tmp_path):
    server = serve(noise=1e-3)
    source = f"openai:tiny@{server.url}"
    queries = [f"{a} {b}" for a in "lift drag wing flow heat wall cone shock".split() for b in "abcdefg"]
    fit = fit_posterior(Expert.load(source), CalibrationPairs(queries, [f"{q} layer" for q in queries]))
    save_posterior(tmp_path / "p", fit.posterior, fit.header)
    again = Expert.load(source)
    assert again.fingerprint != fit.header.fingerprint
    attached, _ = attach_posterior(again, tmp_path / "p")
    assert attached.posterior.structure == "kron"
    server.embed = lambda texts: bag_of_words([text.upper()[::-1] for text in texts])
    with pytest.raises(ModelMismatchError, match="fitted for 'openai:tiny'"):
        attach_posterior(Expert.load(source), tmp_path / "p")


def test_half_of_the_probes_are_queries(serve):
    server = serve()
    expert = Expert.load("openai:tiny", base_url=server.url, prompts={"query": "q: ", "document": "d: "})
    plain = Expert.load("openai:tiny", base_url=server.url)
    assert expert.fingerprint != plain.fingerprint
    half = len(PROBES) // 2
    asked = {*(f"q: {probe}" for probe in PROBES[:half]), *(f"d: {probe}" for probe in PROBES[half:])}
    assert asked <= set(server.embedded)
    with pytest.raises(ModelMismatchError):
        check_fingerprint(expert, plain.fingerprint, "the index is one of")


def perturbed(model, size):
    generator = torch.Generator().manual_seed(0)
    for weights in (p for p in model.parameters() if p.ndim == 2):
        weights.data += size * weights.data.std() * torch.randn(weights.shape, generator=generator)


def quantised(model):
    """Weights in int8 with a scale for each row, as the gentlest of quantisers have them."""
    for weights in (p for p in model.parameters() if p.ndim == 2):
        step = weights.data.abs().amax(1, keepdim=True).clamp_min(1e-9) / 127
        weights.data = (weights.data / step).round() * step


@pytest.mark.models
def test_precision_passes_and_quantisation_and_training_do_not(minilm):
    """Distances in the 32 directions, of at most .03 that pass: bfloat16 .013, int8 .038, fine-tuned to .992 .12."""

    def fingerprint(change):
        model = SentenceTransformer(minilm, device="cpu")
        change(model)
        embedded = model.encode(list(PROBES), convert_to_tensor=True).float().numpy()
        return probe_fingerprint(unit(embedded)), unit(embedded)

    plain, before = fingerprint(lambda model: None)
    for change, same in (
        (lambda model: model.half(), True),
        (lambda model: model.bfloat16(), True),
        (quantised, False),
        (lambda model: perturbed(model, 0.04), False),
    ):
        other, after = fingerprint(change)
        assert same_model(plain, other) == same
    assert 0.985 < (before * after).sum(1).min() < 0.995
