"""The identity head's posterior against autograd and sampled weights, and its expert's variances.

"By definition" means z = W e at W = I, with e the unit embedding: features and z are the same numbers, the gain is 1.
"""

import contextlib
import dataclasses
import sqlite3

import numpy as np
import pytest
import torch
from torch.autograd.functional import jacobian
from torch.nn.functional import normalize

from tests.embeddings_server import bag_of_words
from tests.mounts import read_only
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import (
    EmbeddingError,
    InvalidInputError,
    NumericalError,
    StorageError,
    UnsupportedModelError,
)
from uec_retriever.experts.embedding_cache import EmbeddingCache
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fingerprint import PROBES
from uec_retriever.experts.fitting import fit_posterior
from uec_retriever.experts.identity import IdentityHead
from uec_retriever.experts.linearised import LinearisedModel
from uec_retriever.experts.text_embedding import TextEmbedding
from uec_retriever.laplace.curvature import Curvature
from uec_retriever.laplace.posterior import STRUCTURES

WORDS = "lift drag wing flow heat wall cone shock layer cat dog bird red green blue small large".split()
D, N, TAU = 5, 6, 0.3
OPTIONS = {"batch_size": 4, "progress": None, "prompts": ()}


def sentences(n, length=4, start=0):
    return [" ".join(WORDS[(3 * i + i * j + j) % 17] for j in range(length)) for i in range(start, start + n)]


def pairs(n=80):
    queries = [f"{WORDS[i % 17]} {WORDS[(i * i + 1) % 17]} {i % 7}" for i in range(n)]
    return CalibrationPairs(queries, [f"{query} {WORDS[(i * 3) % 17]}" for i, query in enumerate(queries)])


def small(texts):
    return bag_of_words(texts, D)


@pytest.fixture(scope="module", params=["diag", "kron"])
def fitted(request):
    return fit_posterior(Expert.of(bag_of_words), pairs(), structure=request.param).expert


def anchored_ggn(anchors, others):
    """GGN of W at I for each anchor, `[n, D, D, D, D]` in the order (d, i), by autograd through z = W e."""
    candidates = normalize(others, dim=1)
    found = []
    for e in anchors:

        def logits(weight, e=e):
            return candidates @ normalize(weight @ e, dim=0) / TAU

        identity = torch.eye(D, dtype=torch.float64)
        j = jacobian(logits, identity)
        p = torch.softmax(logits(identity), dim=0)
        found.append(torch.einsum("mdi,mk,kej->diej", j, torch.diag(p) - torch.outer(p, p), j))
    return torch.stack(found)


def test_curvature_is_the_autograd_ggn_of_w_at_the_identity():
    head = Expert.of(small).head
    queries, positives = (head.linearise(sentences(N, start=s), "text", **OPTIONS) for s in (0, 9))
    sides = [(side.features.double(), side.embeddings.double(), side.gain) for side in (queries, positives)]
    curvatures = {structure: Curvature(structure, TAU) for structure in STRUCTURES}
    for curvature in curvatures.values():
        curvature.update_pairs(*sides)
    q, p = sides[0][0], sides[1][0]
    ggn = torch.cat([anchored_ggn(q, p), anchored_ggn(p, q)])
    diagonal = torch.einsum("ndidi->id", ggn)
    torch.testing.assert_close(curvatures["diag"].fisher_sum, diagonal, rtol=1e-10, atol=1e-12)
    everything = torch.cat([q, p])
    kron = curvatures[
        "kron"
    ]  # its factors: sums of e e^T, and of the GGN in z, which a unit e leaves when traced out
    torch.testing.assert_close(kron.feature_sum, everything.T @ everything, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(kron.output_sum, torch.einsum("ndiei->de", ggn), rtol=1e-6, atol=1e-7)
    assert head.squared_norm == torch.eye(D).square().sum() == D


def test_variance_is_that_of_sampled_weights(fitted, draw):
    """8,000 draws of W under the fitted posterior, scaled down so that W e is nearly of unit length."""
    posterior = dataclasses.replace(fitted.posterior, scale=1e-3 * fitted.posterior.scale)
    texts = sentences(6)
    encoded = fitted.with_posterior(posterior).encode(texts, "document").gaussian
    e = torch.from_numpy(encoded.mean)
    draws = torch.stack([(torch.eye(16) + dw) @ e.T for dw in draw(posterior, 8000)]).double().numpy()
    sampled = draws.var(0).T
    ratio = sampled / encoded.variance
    assert np.abs(ratio - 1).max() < 0.08  # sqrt(2 / 8000) = 1.6 % each
    assert abs(ratio.mean() - 1) < 0.01
    unit = draws / np.linalg.norm(draws, axis=1, keepdims=True)
    along = np.abs(encoded.mean) ** 2  # normalising takes away what lies along the mean, first order
    tangential = unit.var(0).T.sum(1) / (sampled.sum(1) - (sampled * along).sum(1))
    assert np.abs(tangential - 1).max() < 0.1


def test_kron_variance_is_a_mahalanobis_length_of_the_embedding():
    """`e^T (E[e e^T] + damping)^-1 e` up to a factor, as the design has it."""
    expert = fit_posterior(Expert.of(bag_of_words), pairs(), structure="kron").expert
    texts = sentences(6)
    encoded = expert.encode(texts, "document").gaussian
    training, _ = pairs().split()
    e = np.concatenate(
        [expert.encode(side, "document").gaussian.mean for side in (training.queries, training.positives)]
    )
    second = e.T.astype(float) @ e / len(e)
    inverse = np.linalg.inv(second + expert.posterior.damping[0] * np.eye(16))
    lengths = np.einsum("nd,de,ne->n", encoded.mean, inverse, encoded.mean)
    ratio = encoded.trace / lengths
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 0.1, 7.0, 1e6, 1e12])
def test_scale_of_embeddings_changes_nothing(fitted, scale):
    def scaled(texts):
        return bag_of_words(texts) * np.float32(scale)

    same = Expert.of(scaled).with_posterior(fitted.posterior)
    texts = sentences(5)
    one, other = (expert.encode(texts, "query").gaussian for expert in (fitted, same))
    np.testing.assert_allclose(other.mean, one.mean, atol=1e-6)
    np.testing.assert_allclose(other.variance, one.variance, rtol=1e-4)
    assert fit_posterior(
        Expert.of(scaled), pairs(), structure=fitted.posterior.structure
    ).posterior.scale == (pytest.approx(fitted.posterior.scale, rel=1e-3))


def test_texts_unlike_the_pairs_are_less_certain():
    expert = fit_posterior(Expert.of(bag_of_words), pairs(), structure="kron").expert
    own = expert.encode(sentences(20), "query").gaussian.trace
    foreign = expert.encode([f"quorum habeas {i} corpus" for i in range(20)], "query").gaussian.trace
    assert foreign.mean() > own.mean()


def test_features_are_unit_embeddings_and_means_too(fitted):
    texts = sentences(7)
    oracle = bag_of_words(texts)
    oracle /= np.linalg.norm(oracle, axis=1, keepdims=True)
    seen = []
    linearised = fitted.linearise(texts, "document", batch_size=3, progress=seen.append)
    np.testing.assert_allclose(linearised.features, oracle, atol=1e-6)
    assert linearised.embeddings is linearised.features
    assert torch.equal(linearised.gain, torch.ones(16))
    assert (linearised.truncated, seen) == ([False] * 7, [3, 3, 1])
    np.testing.assert_allclose(fitted.encode(texts, "document").gaussian.mean, oracle, atol=1e-6)
    assert (fitted.dimension, fitted.head.shape, fitted.head.layer) == (16, (16, 16), "identity")


def test_what_an_identity_head_does_not_have(fitted):
    with pytest.raises(InvalidInputError, match="no sentence-transformers model"):
        fitted.model  # noqa: B018
    with pytest.raises(InvalidInputError, match="identity head: its last layer is not read"):
        fitted.last_layer  # noqa: B018


def test_sentence_transformers_by_an_identity_head(tiny, texts, tmp_path):
    tiny("bert", prompts={"query": "what "}).save(str(tmp_path / "m"))
    one = Expert.load(str(tmp_path / "m"), device="cpu", head="identity")
    assert isinstance(one.head, IdentityHead)
    assert one.options == {"head": "identity"}
    assert Expert.load(one.name, device="cpu", **one.options).fingerprint == one.fingerprint
    last = Expert.load(str(tmp_path / "m"), device="cpu")
    assert isinstance(last.head, LinearisedModel)
    assert one.fingerprint != last.fingerprint
    assert one.with_cache(EmbeddingCache()) is one  # embedding here costs nothing but time
    for role in ("query", "document"):
        found = one.linearise(texts, role)
        np.testing.assert_allclose(
            found.embeddings, normalize(last.linearise(texts, role).embeddings), atol=1e-6
        )
    assert any(one.linearise(["flow " * 500], "document").truncated)
    with pytest.raises(InvalidInputError, match="head must be one of"):
        Expert.load(one.name, device="cpu", head="first_layer")


def test_a_last_layer_out_of_reach_has_an_identity_head_unless_it_is_asked_for(tiny, tmp_path, monkeypatch):
    def refuse(model):
        raise UnsupportedModelError("in the way: Twist")

    tiny("bert").save(str(tmp_path / "m"))
    monkeypatch.setattr("uec_retriever.experts.opening.LinearisedModel", refuse)
    assert isinstance(Expert.load(str(tmp_path / "m"), device="cpu").head, IdentityHead)
    with pytest.raises(UnsupportedModelError, match="Twist"):
        Expert.load(str(tmp_path / "m"), device="cpu", head="last_layer")


def test_the_cache_is_asked_first_by_role_and_texts_are_embedded_once():
    calls = []

    def embed(texts):
        calls.extend(texts)
        return bag_of_words(texts)

    with_cache = Expert.of(embed).with_cache(EmbeddingCache())
    assert with_cache.fingerprint.startswith("probes-1:16:")
    assert sorted(calls) == sorted(PROBES)
    calls.clear()
    texts, seen = ["a b", "c", "a b", "d"], []
    first = with_cache.linearise(texts, "document", batch_size=2, progress=seen.append)
    assert (calls, sum(seen)) == (["a b", "c", "d"], 4)
    again = with_cache.linearise(texts, "document", batch_size=2, progress=seen.append)
    assert (len(calls), sum(seen)) == (3, 8)
    assert torch.equal(first.embeddings, again.embeddings)
    with_cache.linearise(texts, "query")
    assert len(calls) == 6
    without = with_cache.with_cache(None)
    without.linearise(texts, "document")
    assert len(calls) == 10  # as they are, the one that is there twice too
    assert with_cache.head.cache is not None
    with_cache.head.forget(["a b"], "document")
    with_cache.head.remember(["e"], "document", first.embeddings[:1].numpy())
    assert torch.equal(with_cache.linearise(["e"], "document").embeddings, first.embeddings[:1])
    with_cache.linearise(texts, "document")
    assert calls[10:] == ["a b"]
    with_cache.head.cache.close()


class Odd(TextEmbedding):
    """Gives what it is told, batch by batch."""

    name = "object:odd"

    def __init__(self, *batches):
        self.batches = batches

    def embed(self, texts, role, *, batch_size, prompts=()):
        yield from self.batches


def test_queries_do_without_a_cache_that_cannot_be_written_and_documents_do_not(tmp_path, caplog):
    asked = []

    def embed(texts):
        asked.extend(texts)
        return small(texts)

    folder = tmp_path / "caches"
    folder.mkdir()
    expert = Expert.of(embed).with_cache(EmbeddingCache(folder / "cache.sqlite3"))
    expected = expert.linearise(["a b"], "query").embeddings
    expert.head.cache.close()  # what is open goes on writing
    with read_only(folder):
        for cached in (expert, Expert.of(embed).with_cache(EmbeddingCache(folder / "another.sqlite3"))):
            asked.clear()
            assert torch.equal(cached.linearise(["a b"], "query").embeddings, expected)
            assert len(cached.linearise(["c"], "query").embeddings) == 1 and "c" in asked
            with pytest.raises(StorageError, match="cannot"):
                cached.linearise(["d"], "document")
    assert {r.getMessage().split(":")[0] for r in caplog.records} == {
        "searching without a cache of embeddings"
    }
    asked.clear()
    for _ in range(2):
        expert.linearise(["c"], "query")
    assert asked == ["c"]
    expert.head.cache.close()


def test_what_is_no_cache_is_refused_for_queries_too(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "other.sqlite3")) as other:
        other.execute("CREATE TABLE something (column)")
    with pytest.raises(StorageError, match="database of something else"):
        Expert.of(small).with_cache(EmbeddingCache(tmp_path / "other.sqlite3")).linearise(["a b"], "query")


@pytest.mark.parametrize(
    ("batches", "named"),
    [
        ([(range(2), np.ones((1, 3)))], "one vector each"),
        ([(range(2), np.ones(2))], "one vector each"),
        ([(range(1), np.ones((1, 3))), (range(1, 2), np.ones((1, 4)))], "4 numbers .* gave 3 before"),
        ([(range(1), np.ones((1, 3)))], "1 of 2 texts"),
        ([], "0 of 2 texts"),
    ],
)
def test_embeddings_of_another_shape(batches, named):
    with pytest.raises(EmbeddingError, match=named):
        IdentityHead(Odd(*batches)).linearise(["a", "b"], "document", **OPTIONS)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0])
def test_embeddings_without_a_direction_are_named(value):
    vectors = np.ones((2, 3), dtype=np.float32)
    vectors[1] = value
    with pytest.raises(NumericalError, match="object:odd gave a zero, NaN or infinite") as refused:
        IdentityHead(Odd((range(2), vectors))).linearise(["a", "b"], "document", **OPTIONS)
    assert refused.value.position == 1


def test_queries_of_another_dimension_than_documents():
    class Two:
        def embed_documents(self, texts):
            return [[1.0, 2.0] for _ in texts]

        def embed_query(self, text):
            return [1.0, 2.0, 3.0]

    with pytest.raises(EmbeddingError, match="3 numbers for a query and 2 for a document"):
        Expert.of(Two()).fingerprint  # noqa: B018


def test_a_failure_at_the_probes_blames_no_text_of_the_user():
    with pytest.raises(NumericalError) as refused:
        Expert.of(lambda texts: np.zeros((len(texts), 3))).fingerprint  # noqa: B018
    assert refused.value.position is None
