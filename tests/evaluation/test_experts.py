"""Texts are encoded once, and what the cache gives is what the model gave."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from devtools.tiny import tiny_model, tokenizer
from tests.evaluation.retrieval_small import ANIMALS, COLOURS, VERBS, write_set
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import CorruptFileError, InvalidInputError
from uec_retriever.evaluation.collection import load_collection
from uec_retriever.evaluation.collection_encoder import encode_texts, unit_means
from uec_retriever.evaluation.encoding_cache import EncodingCache
from uec_retriever.evaluation.expert_set import (
    ExpertSet,
    collection_pairs,
    fit_experts,
    join_pairs,
    load_experts_fitted,
)
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fitting import fit_posterior
from uec_retriever.experts.linearised import LinearisedModel
from uec_retriever.laplace.files import save_posterior

TEXTS = [f"{c} {a} {v}" for c in COLOURS for a in ANIMALS for v in VERBS][:70]


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    torch.manual_seed(0)
    bag = StaticEmbedding(tokenizer(), embedding_dim=16)
    return {
        "bert": Expert(tiny_model(tmp_path_factory.mktemp("bert")), "bert"),
        "bag": Expert(SentenceTransformer(modules=[bag], device="cpu"), "bag"),
    }


@pytest.fixture(scope="module")
def pairs():
    return CalibrationPairs(TEXTS[:34], [f"the {t} text" for t in TEXTS[:34]])


def dense(features):
    return features.to_dense() if features.is_sparse else features


@pytest.mark.parametrize("kind", ["bert", "bag"])
def test_what_comes_back_is_what_the_model_gave(experts, kind, tmp_path):
    plain = experts[kind]
    cached = EncodingCache(tmp_path).expert(plain)
    cached.linearise(TEXTS[:40], "document")
    mixed = [TEXTS[i] for i in (50, 3, 3, 39, 60, 0)]  # over several shards, one twice
    expected, found = plain.linearise(mixed, "document"), cached.linearise(mixed, "document")
    assert found.features.is_sparse == (kind == "bag")
    torch.testing.assert_close(dense(found.features), dense(expected.features), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.embeddings, expected.embeddings, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.gain, expected.gain)
    assert found.truncated == expected.truncated
    np.testing.assert_allclose(np.linalg.norm(unit_means(cached, mixed, "document"), axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "bag"])
@pytest.mark.parametrize("structure", ["diag", "kron"])
def test_posteriors_do_not_notice_the_cache(experts, pairs, kind, structure, tmp_path):
    cached = EncodingCache(tmp_path).expert(experts[kind])
    fits = [fit_posterior(e, pairs, structure=structure) for e in (experts[kind], cached)]
    expected, found = (fit.reference for fit in fits)
    assert found.query_zero == pytest.approx(expected.query_zero, rel=1e-4)
    expected, found = (fit.expert.encode(TEXTS[40:50], "query").gaussian for fit in fits)
    np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-3)


def test_no_text_goes_through_the_model_twice(experts, pairs, tmp_path, monkeypatch):
    first = EncodingCache(tmp_path).expert(experts["bert"])
    [fitted] = fit_experts([first], pairs)["kron"]
    before = fitted.encode(TEXTS, "document").gaussian
    again = EncodingCache(tmp_path).expert(experts["bert"])
    monkeypatch.setattr(LinearisedModel, "forward", None)  # any use would fail
    [fitted] = fit_experts([again], pairs, ["kron"])["kron"]
    done = []
    after = fitted.encode(TEXTS, "document", progress=done.append).gaussian
    np.testing.assert_allclose(after.variance, before.variance, rtol=1e-6)
    assert sum(done) == len(TEXTS)
    assert again.seconds["document"] > 0
    assert first.posterior is None


def test_a_temporary_cache_and_a_damaged_one(experts, tmp_path):
    cache = EncodingCache()
    cache.expert(experts["bert"]).linearise(TEXTS[:3], "query")
    assert list(cache.folder.rglob("*.safetensors"))
    EncodingCache(tmp_path).expert(experts["bert"]).linearise(TEXTS[:3], "query")
    [path] = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CorruptFileError, match="delete it"):
        EncodingCache(tmp_path).expert(experts["bert"]).linearise(TEXTS[:3], "query")
    with pytest.raises(InvalidInputError, match="no texts"):
        EncodingCache(tmp_path / "other").expert(experts["bert"]).linearise([], "query")
    with pytest.raises(InvalidInputError, match="put it into a list"):
        EncodingCache(tmp_path / "other").expert(experts["bert"]).linearise("cat", "query")


def test_posteriors_out_of_files_and_what_is_refused(experts, pairs, tmp_path):
    bert = experts["bert"]
    fit = fit_posterior(bert, pairs, structure="kron")
    save_posterior(tmp_path / "kron.safetensors", fit.posterior, fit.header)
    files = [tmp_path / "kron.safetensors"]
    loaded = ExpertSet([bert], load_experts_fitted([bert], {"bert": files}), pairs)
    expected = fit.expert.encode(TEXTS[:5], "query").gaussian
    [found] = loaded.under("kron")
    np.testing.assert_allclose(
        found.encode(TEXTS[:5], "query").gaussian.variance, expected.variance, rtol=1e-5
    )
    with pytest.raises(InvalidInputError, match="no 'diag' posteriors"):
        loaded.under("diag")
    with pytest.raises(InvalidInputError, match="each expert its own"):
        load_experts_fitted([bert], {"other": []})
    with pytest.raises(InvalidInputError, match="its own kron posterior, once"):
        load_experts_fitted([bert], {"bert": files * 2})
    with pytest.raises(InvalidInputError, match="no calibration pairs"):
        fit_experts([bert], {})
    with pytest.raises(InvalidInputError, match="labels of their own"):
        ExpertSet([bert, bert], {}, pairs)


def test_encoded_texts_are_those_of_the_experts(experts, pairs):
    both = list(experts.values())
    known = ExpertSet(both, fit_experts(both, pairs), pairs)
    found = encode_texts(known, TEXTS[:6], "query", ("diag", "kron"), {"one": both[0]})
    for structure in ("diag", "kron"):
        for k, expert in enumerate(known.under(structure)):
            expected = expert.encode(TEXTS[:6], "query").gaussian
            np.testing.assert_allclose(found.means[k], expected.mean, atol=1e-5)
            np.testing.assert_allclose(found.gaussians[structure][k].variance, expected.variance, rtol=1e-3)
    np.testing.assert_allclose(found.merged["one"], found.means[0], atol=1e-6)


def test_pairs_of_a_collection_and_a_broad_set(pairs, tmp_path):
    collection = load_collection(write_set(tmp_path / "toy", queries=40), "train")
    own = collection_pairs(collection, 20)
    assert (len(own), own.source) == (20, "first sentence + title")
    joined = join_pairs([own, pairs], 18)
    assert joined.queries == [*own.queries[:18], *pairs.queries[:18]]
    assert joined.source == "first sentence + title + user"
