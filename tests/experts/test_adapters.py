"""What people have at hand as embeddings: frameworks' objects, libraries' and functions, and what is wrong with some."""

import functools
import pickle
import traceback
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.embeddings_server import bag_of_words
from uec_retriever.errors import (
    EmbeddingError,
    InvalidInputError,
    ModelNotFoundError,
    NumericalError,
    UECError,
)
from uec_retriever.experts.adapters import FunctionEmbedding, embedding_of
from uec_retriever.experts.expert import Expert

TEXTS = ["the wing", "a cat and a dog", "heat", "shock", "lift"]


class LangChainLike:
    model = "text-embedding-3-large"

    def embed_documents(self, texts):
        return bag_of_words(texts).tolist()

    def embed_query(self, text):
        return (-bag_of_words([text])[0]).tolist()


class LlamaIndexLike:
    model_name = "BAAI/bge-small-en"

    def get_text_embedding_batch(self, texts):
        return bag_of_words(texts).tolist()

    def get_query_embedding(self, query):
        return (-bag_of_words([query])[0]).tolist()


class FastEmbedLike:
    model_name = "BAAI/bge-small-en"

    def passage_embed(self, texts):
        return (vector for vector in bag_of_words(texts))

    def query_embed(self, query):
        return (-vector for vector in bag_of_words(query))


class Model2VecLike:
    base_model_name = "minishlab/potion"

    def encode(self, texts):
        return bag_of_words(texts)


class Callable:
    def __call__(self, texts):
        return bag_of_words(texts)


def function(texts):
    return bag_of_words(texts)


def tensors(texts):
    return torch.from_numpy(bag_of_words(texts)).double().requires_grad_()


def list_of_tensors(texts):
    return list(torch.from_numpy(bag_of_words(texts)).bfloat16())


def list_of_arrays(texts):
    return list(bag_of_words(texts).astype(np.float64))


def of_one_batch(texts):
    assert isinstance(texts, list) and 0 < len(texts) <= 2
    return bag_of_words(texts)


HERE = "object:tests.experts.test_adapters."


@pytest.mark.parametrize(
    ("source", "name", "asymmetric"),
    [
        (LangChainLike(), f"{HERE}LangChainLike/text-embedding-3-large", True),
        (LlamaIndexLike(), f"{HERE}LlamaIndexLike/BAAI/bge-small-en", True),
        (FastEmbedLike(), f"{HERE}FastEmbedLike/BAAI/bge-small-en", True),
        (Model2VecLike(), f"{HERE}Model2VecLike/minishlab/potion", False),
        (Callable(), f"{HERE}Callable", False),
        (function, f"{HERE}function", False),
        (functools.partial(function), "object:functools.partial", False),
        (tensors, f"{HERE}tensors", False),
        (list_of_tensors, f"{HERE}list_of_tensors", False),
        (list_of_arrays, f"{HERE}list_of_arrays", False),
        (of_one_batch, f"{HERE}of_one_batch", False),
    ],
)
def test_sources(source, name, asymmetric):
    embedding = embedding_of(source)
    assert embedding.name == name
    oracle = bag_of_words(TEXTS)
    for role, sign in (("document", 1), ("text", 1), ("query", -1 if asymmetric else 1)):
        found = np.concatenate([vectors for _, vectors in embedding.embed(TEXTS, role, batch_size=2)])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, sign * oracle, rtol=1e-2 if "of_tensors" in name else 1e-6)
    expert = Expert.of(source)
    assert (expert.name, expert.label) == (name, name.split("/" if "/" in name else ".")[-1])
    assert expert.linearise(TEXTS, "query", batch_size=2).embeddings.shape == (5, 16)
    with pytest.raises(ModelNotFoundError, match="an object of the program"):
        Expert.load(expert.name)
    with pytest.raises(InvalidInputError, match="in memory, which another process could not load"):
        pickle.dumps(expert)


def test_a_name_of_ones_own_is_no_name_of_a_model():
    """Else whoever opens the index would look for it on the hub."""
    expert = Expert.of(function, name="all-MiniLM-L6-v2")
    assert (expert.name, expert.label) == ("object:all-MiniLM-L6-v2", "all-MiniLM-L6-v2")
    assert Expert.of(function, label="mine").label == "mine"
    assert Expert.of(expert) is expert


@pytest.mark.parametrize(
    "source", [LangChainLike, FunctionEmbedding, int, 7, None, b"model", SimpleNamespace(encode=3)], ids=str
)
def test_what_embeds_nothing(source):
    with pytest.raises(InvalidInputError, match="cannot be an expert: give"):
        Expert.of(source)


def quitter(texts):
    raise RuntimeError("no credit left for key sk-proj-abcdef123456 and Bearer abcdef")


def refuser(texts):
    raise InvalidInputError("ours")


async def asynchronous(texts):
    return bag_of_words(texts)


def fewer(texts):
    return bag_of_words(texts)[1:]


def ragged(texts):
    return [[1.0] * (1 + i) for i in range(len(texts))]


@pytest.mark.parametrize(
    ("source", "named"),
    [
        (quitter, "failed to embed texts 0 to 1: RuntimeError: no credit left"),
        (fewer, r"shape \(1, 16\) for 2 texts: it must give one vector each"),
        (ragged, "failed to embed texts 0 to 1"),
        (lambda texts: bag_of_words(texts)[0], r"shape \(16,\) for 2 texts"),
        (lambda texts: None, r"failed|shape"),
        (lambda texts: ["a", "b"], "failed to embed"),
        (lambda texts: {"a": 1}, "failed to embed|shape"),
        (lambda texts: [], r"shape \(0,\) for 2 texts"),
        (lambda: 0, "takes 0 positional arguments"),
        (lambda texts: bag_of_words(texts)[:, :0], "no numbers|zero"),
    ],
)
def test_functions_that_fail(source, named):
    with pytest.raises((EmbeddingError, NumericalError), match=named) as refused:
        Expert.of(source).linearise(TEXTS, "document", batch_size=2)
    shown = "".join(traceback.format_exception(refused.value, limit=0))
    assert "sk-proj" not in shown and "abcdef" not in shown


@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_coroutine_is_no_embedding():
    with pytest.raises(EmbeddingError, match="coroutine"):
        Expert.of(asynchronous).linearise(TEXTS, "document")


def test_errors_of_ours_stay_as_they_are():
    with pytest.raises(UECError, match="^ours$"):
        Expert.of(refuser).linearise(TEXTS, "document")


def test_numbers_beyond_floats():
    with pytest.raises(NumericalError):
        Expert.of(lambda texts: [[1e300, 1.0] for _ in texts]).linearise(TEXTS, "document")


@pytest.mark.parametrize(
    "texts", [["a", ""], ["a", " "], ["a", "\ud800"], ["a\0"], [], "a", [None]], ids=ascii
)
def test_texts_that_are_none_reach_no_function(texts):
    with pytest.raises(InvalidInputError):
        Expert.of(quitter).linearise(texts, "document")


def test_long_and_strange_texts_do(serve):
    texts = [
        "x" * 10_000,
        "🦜" * 3,
        "\u202e right to left",
        "a\u2028b\x85c",
        "'; DROP TABLE embedding; --",
        "\ufffd",
    ]
    server = serve()
    found = Expert.load(f"openai:tiny@{server.url}").linearise(texts, "document")
    assert len(found) == 6
    assert set(server.embedded) >= set(texts)
