"""What a fit says of itself."""

import logging
from dataclasses import asdict

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from devtools.tiny import tokenizer
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import NumericalError
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fitting import fit_posterior
from uec_retriever.laplace.basis import MAXIMUM_RANK, TOLERANCE
from uec_retriever.laplace.files import load_posterior, save_posterior

HEADER = {
    *(
        "model",
        "fingerprint",
        "layer",
        "structure",
        "dimension",
        "pairs",
        "heldout_pairs",
        "numbers",
        "versions",
    ),
    *("heldout_log_likelihood", "source", "pairs_hash", "format_version"),
}


@pytest.fixture
def pairs(texts):
    texts = [f"{t} {w}" for w in ("small", "large", "query", "flow", "red", "blue") for t in texts]
    return CalibrationPairs([t[: len(t) // 2] for t in texts], texts)


@pytest.mark.parametrize(("structure", "profiles"), [("diag", 2), ("kron", 1)])
def test_a_basis_within_its_tolerance_raises_no_warning(tiny, pairs, structure, profiles, caplog):
    fit = fit_posterior(Expert(tiny("bert"), "tiny"), pairs, structure=structure)
    assert len(fit.posterior.basis) == profiles
    assert fit.basis_error <= TOLERANCE
    assert "profiles" not in caplog.text


def test_a_basis_that_misses_its_tolerance_is_told(caplog, tmp_path):
    """Tokens of 64 dimensions, each with variances of its own: 16 profiles are too few."""
    words = tokenizer()
    drawn = np.random.default_rng(0).choice(list(words.get_vocab())[4:], (128, 3))
    pairs = CalibrationPairs([f"{a} {b}" for a, b, _ in drawn], [f"{b} {c}" for _, b, c in drawn])
    torch.manual_seed(0)
    bag = StaticEmbedding(words, embedding_weights=torch.randn(len(words), 64))
    expert = Expert(SentenceTransformer(modules=[bag], device="cpu"), "bag")
    with caplog.at_level(logging.WARNING, "uec_retriever"):
        fit = fit_posterior(expert, pairs, structure="diag", tau=0.02)
    assert len(fit.posterior.basis) == MAXIMUM_RANK
    assert fit.basis_error > TOLERANCE
    assert (
        f"expert bag: 16 profiles tell its variances only to within {100 * fit.basis_error:.1f} %"
        in caplog.text
    )
    queries, positives = fit.reference.queries, fit.reference.positives
    both = np.concatenate([queries.variance, positives.variance]).astype(np.float64)
    basis = fit.posterior.basis.numpy().astype(np.float64)
    weights = np.roll(np.concatenate([queries.mean, positives.mean]) ** 2, 1, axis=0)
    exact = (both * weights).sum(axis=1)
    errors = np.abs((both @ np.linalg.pinv(basis) @ basis * weights).sum(axis=1) / exact - 1)
    assert fit.basis_error == pytest.approx(np.quantile(errors, 0.99), rel=1e-3)
    save_posterior(tmp_path / "p", fit.posterior, fit.header)  # the file is one that version 0.1.0 reads
    assert set(asdict(load_posterior(tmp_path / "p")[1])) == HEADER


@pytest.mark.parametrize("structure", ["diag", "kron"])
def test_a_broken_model_is_not_blamed_on_the_pairs(tiny, pairs, structure):
    model = tiny("bert")
    token = model.tokenizer.get_vocab()["boundary"]
    with torch.no_grad():
        model[0].auto_model.embeddings.word_embeddings.weight[token, 3] = float("nan")
    with pytest.raises(NumericalError, match=r"expert tiny.* text \d+ has a zero, NaN"):
        fit_posterior(Expert(model, "tiny"), pairs, structure=structure)
