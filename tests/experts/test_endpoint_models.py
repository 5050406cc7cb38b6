"""MiniLM behind a server is MiniLM with an identity head here."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from tests.embeddings_server import EmbeddingServer, of_model
from tests.experts.test_real_models import TEXTS, docstrings
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fitting import fit_posterior

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def remote(minilm):
    with EmbeddingServer(of_model(SentenceTransformer(minilm, device="cpu")), most=8) as server:
        yield Expert.load("openai:tiny", base_url=server.url, encoding_format="base64")


@pytest.mark.parametrize("structure", ["diag", "kron"])
def test_an_expert_on_a_server_equals_one_here(minilm, remote, structure):
    here = Expert.load(minilm, device="cpu", head="identity")
    pairs = CalibrationPairs(*zip(*docstrings()[:64], strict=True))
    one, other = (fit_posterior(e, pairs, structure=structure).expert for e in (here, remote))
    assert one.dimension == other.dimension == 384
    ours, theirs = (e.encode(TEXTS, "document", batch_size=4).gaussian for e in (one, other))
    np.testing.assert_allclose(theirs.mean, ours.mean, atol=1e-5)
    np.testing.assert_allclose(theirs.variance, ours.variance, rtol=1e-3)


def test_its_means_are_those_of_sentence_transformers(minilm, remote):
    model = SentenceTransformer(minilm, device="cpu")
    found = remote.linearise(TEXTS, "query").embeddings
    np.testing.assert_allclose(found, model.encode(TEXTS, normalize_embeddings=True), atol=1e-5)
