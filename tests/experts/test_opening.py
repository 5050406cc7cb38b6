"""Experts by name: providers, heads, and what is kept of how an expert was loaded: no key."""

import copy
import pickle
import sys
import traceback
from types import ModuleType

import pytest

from tests.embeddings_server import bag_of_words
from uec_retriever.errors import (
    EmbeddingError,
    InvalidInputError,
    MissingExtraError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from uec_retriever.experts.endpoint import EndpointEmbedding
from uec_retriever.experts.expert import Expert


def test_an_endpoint_given_as_an_object_is_loaded_again_from_where_it_was(serve):
    """Not from OpenAI, which would get the texts then."""
    server = serve(key="k3y")
    embedding = EndpointEmbedding(
        "tiny",
        base_url=server.url,
        api_key="k3y",
        prompts={"query": "q: "},
        dimensions=8,
        encoding_format="base64",
    )
    expert = Expert.of(embedding)
    wanted = {
        "base_url": server.url,
        "prompts": {"query": "q: "},
        "dimensions": 8,
        "encoding_format": "base64",
    }
    assert (expert.name, expert.options) == ("openai:tiny", wanted)
    again = Expert.load(expert.name, api_key="k3y", **expert.options)
    assert again.options == wanted
    assert again.fingerprint == expert.fingerprint
    server.key = None
    assert pickle.loads(pickle.dumps(expert)).linearise(["a"], "query").embeddings.shape == (1, 8)
    assert server.requests[-1]["input"] == ["q: a"]


def test_a_library_that_ends_its_sentence_ends_it_once():
    """The hub's does; it is a part of ours."""
    from uec_retriever.experts.loading import _not_found

    assert "of the hub. It takes" in str(
        _not_found("embedding model", "m", OSError("none of the hub.\nmore"))
    )


def test_heads_of_what_only_embeds():
    assert Expert.load("openai:m", base_url="http://h/v1", head="identity").head.layer == "identity"
    with pytest.raises(UnsupportedModelError, match="only the embeddings of 'openai:m'"):
        Expert.load("openai:m", base_url="http://h/v1", head="last_layer")
    with pytest.raises(InvalidInputError, match="which model of openai"):
        Expert.load("openai:")


@pytest.mark.parametrize("provider", ["fastembed", "model2vec"])
def test_a_library_that_is_not_there(monkeypatch, provider):
    monkeypatch.setitem(sys.modules, provider, None)
    with pytest.raises(MissingExtraError, match=f'pip install "?{provider}'):
        Expert.load(f"{provider}:some/model")


def test_fastembed_by_name(monkeypatch):
    class Library:
        def __init__(self, name, **options):
            if name != "some/model":
                raise ValueError(f"{name} is not supported")
            self.options = options

        def passage_embed(self, texts):
            yield from bag_of_words(texts)

        query_embed = passage_embed

    module = ModuleType("fastembed")
    module.TextEmbedding = Library
    monkeypatch.setitem(sys.modules, "fastembed", module)
    expert = Expert.load("fastembed:some/model", lazy_load=True, threads=2)  # the latter is this machine's
    assert (expert.name, expert.label) == ("fastembed:some/model", "model")
    assert (expert.options, expert.dimension) == ({"lazy_load": True}, 16)
    with pytest.raises(ModelNotFoundError, match="is not supported"):
        Expert.load("fastembed:other")


def test_no_key_is_in_anything_that_is_shown_or_kept(serve, posterior):
    server = serve(key="SEKRET-of-mine")
    expert = Expert.load(
        "openai:tiny",
        base_url=server.url.replace("//", "//me:SEKRET-word@"),
        api_key="SEKRET-of-mine",
        headers={"api-key": "SEKRET-header", "Authorization": "Bearer SEKRET-of-mine"},
    )
    server.key = None
    expert = expert.with_posterior(posterior(expert))
    embedding = expert.head.embedding
    shown = [
        repr(x) for x in (expert, expert.head, embedding, expert.options, embedding.options, vars(expert))
    ]
    shown += [str(pickle.dumps(expert)), expert.name, embedding.name, embedding.address, expert.fingerprint]
    server.key = "another"
    with pytest.raises(EmbeddingError) as refused:
        expert.encode(["a"], "query")
    shown += traceback.format_exception(refused.value)
    assert "SEKRET" not in "".join(shown)
    assert expert.options == {"base_url": server.url}


def test_copies_share_the_connection(serve):
    expert = Expert.load(f"openai:tiny@{serve().url}")
    for copied in (copy.copy(expert), copy.deepcopy(expert), expert.with_posterior(None)):
        assert copied.head.embedding is expert.head.embedding
        assert copied.fingerprint == expert.fingerprint


def test_probes_are_asked_for_once_by_all_copies(serve):
    server = serve()
    expert = Expert.load(f"openai:tiny@{server.url}")
    copies = [expert.with_cache(None), copy.copy(expert), expert]
    assert len({each.fingerprint for each in copies} | {expert.fingerprint}) == 1
    assert all(each.dimension == 16 for each in copies)
    assert max(server.embedded.values()) == 1


@pytest.mark.parametrize("address", ["localhost:8000/v1", "10.0.0.4:80", "localhost", "api.example.com/v1"])
def test_an_address_without_its_http_is_refused(address):
    """It would be a name for OpenAI, who would get texts and key."""
    with pytest.raises(InvalidInputError, match="openai:MODEL@http://localhost:8000/v1"):
        Expert.load(f"openai:tiny@{address}")


@pytest.mark.parametrize("model", ["@cf/baai/bge-m3", "textembedding-gecko@003", "nomic-embed-text:v1.5"])
def test_names_of_vendors_that_look_like_addresses(model):
    assert Expert.load(f"openai:{model}@http://localhost:1/v1").name == f"openai:{model}"
