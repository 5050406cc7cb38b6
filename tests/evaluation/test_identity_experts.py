"""Experts of which only embeddings are known, in evaluations: on servers, and behind functions."""

import json

import pytest
import torch

from tests.embeddings_server import EmbeddingServer, bag_of_words
from tests.engine.small import sentences
from uec_retriever.evaluation.encoding_cache import EncodingCache
from uec_retriever.experts.expert import Expert

TEXTS = sentences(60, 3)


def test_their_encodings_are_kept(tmp_path):
    with EmbeddingServer() as server:
        expert = Expert.load(f"openai:tiny@{server.url}")
        found = EncodingCache(tmp_path).expert(expert).linearise(TEXTS, "document")
        before = server.embedded.total()
        again = EncodingCache(tmp_path).expert(expert).linearise(TEXTS, "document")
        assert server.embedded.total() == before
    for one in (found, again):
        torch.testing.assert_close(one.embeddings, one.features)
        torch.testing.assert_close(
            one.embeddings, torch.nn.functional.normalize(torch.from_numpy(bag_of_words(TEXTS)))
        )


def test_mteb_is_told_what_is_known_of_them():
    pytest.importorskip("mteb")
    from uec_retriever.evaluation.mteb_adapter import UECModel

    with EmbeddingServer() as server:
        meta = UECModel.from_experts([f"openai:tiny@{server.url}"], texts=TEXTS).mteb_model_meta
    assert meta.n_parameters is meta.memory_usage_mb is meta.max_tokens is None
    assert (meta.name, meta.embed_dim, meta.use_instructions) == ("uec-retriever/tiny", 16, False)
    json.dumps(meta.to_dict())
