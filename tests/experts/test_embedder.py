"""The plain bi-encoder behind UAEEmbedding."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling

from devtools.tiny import tiny_model
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import InvalidInputError, ModelMismatchError, ModelNotFoundError
from uec_retriever.experts.embedder import Embedder
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fitting import fit_posterior
from uec_retriever.laplace.files import save_posterior

TEXTS = ["the wing flow", "heat of the layer", "which probe in the small red bird?"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    model = tiny_model(tmp_path_factory.mktemp("workspace"), "bert")
    model.prompts = {"query": "which ", "document": "the text "}
    folder = tmp_path_factory.mktemp("models") / "bert"
    model.save(str(folder))
    return folder


@pytest.fixture(scope="module")
def posterior(model, tmp_path_factory):
    expert = Expert.load(str(model), device="cpu")
    texts = [f"{text} number {i}" for i in range(16) for text in TEXTS]
    fit = fit_posterior(expert, CalibrationPairs([t[:9] for t in texts], texts))
    path = tmp_path_factory.mktemp("posteriors") / "bert.safetensors"
    save_posterior(path, fit.posterior, fit.header)
    return path


def test_embeddings_are_those_of_the_library_prompts_included(model):
    plain = SentenceTransformer(str(model), device="cpu")
    embedder = Embedder.load(model, device="cpu")
    for role, encode in (("query", plain.encode_query), ("document", plain.encode_document)):
        expected = encode(TEXTS, normalize_embeddings=True)
        np.testing.assert_allclose(embedder.embed(TEXTS, role), expected, atol=1e-6)
    assert not np.allclose(embedder.embed(TEXTS, "query"), embedder.embed(TEXTS, "document"), atol=1e-3)


def test_means_with_variance_are_the_embeddings(model, posterior):
    embedder = Embedder.load(model, posterior=posterior, device="cpu")
    for role in ("query", "document"):
        gaussian = embedder.embed_with_variance(TEXTS, role)
        np.testing.assert_allclose(gaussian.mean, embedder.embed(TEXTS, role), atol=1e-5)
        assert (gaussian.variance > 0).all()


def test_without_posterior_there_is_no_variance(model):
    with pytest.raises(InvalidInputError, match="uec fit"):
        Embedder.load(model, device="cpu").embed_with_variance(TEXTS)


def test_the_posterior_of_another_model_is_refused(tmp_path, posterior):
    other = tiny_model(tmp_path, "xlm-roberta")
    with pytest.raises(ModelMismatchError):
        Embedder(other, "other", posterior=posterior)


def test_a_model_that_is_no_expert_still_embeds(tmp_path):
    model = tiny_model(tmp_path, "bert")
    model[1] = Pooling(model[0].get_embedding_dimension(), pooling_mode="max")
    embedded = Embedder(model, "max").embed(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)


def test_options_reach_the_model(model):
    cut = Embedder.load(model, device="cpu", encode_options={"truncate_dim": 8}).embed(TEXTS)
    assert cut.shape == (3, 8)
    options = {"truncate_dim": 8, "normalize_embeddings": False}
    raw = Embedder.load(model, device="cpu", encode_options=options)
    assert not np.allclose(np.linalg.norm(raw.embed(TEXTS), axis=1), 1, atol=1e-3)
    own = Embedder.load(model, device="cpu", encode_options={"truncate_dim": 8}, query_encode_options={})
    assert own.embed(TEXTS, "query").shape[1] == own.dimension


def test_threads_get_what_one_gets(model):
    embedder = Embedder.load(model, device="cpu")
    texts = [[f"{text} {i}" for text in TEXTS[: 1 + i % 3]] for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(embedder.embed, texts))
    for one, several in zip(map(embedder.embed, texts), together, strict=True):
        np.testing.assert_allclose(several, one, atol=1e-6)


@pytest.mark.parametrize("text", ["", "  ", None, 3, "\0", "\ud800"])
def test_bad_texts_are_refused(model, text):
    with pytest.raises(InvalidInputError, match="text 1"):
        Embedder.load(model, device="cpu").embed(["good", text])


def test_no_texts_give_no_embeddings(model):
    embedder = Embedder.load(model, device="cpu")
    assert embedder.embed([]).shape == (0, embedder.dimension)


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        Embedder.load(tmp_path / "nowhere")
