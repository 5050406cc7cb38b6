"""What experts share: one model, its hooks, the lock of its tokenizer; and what they must not."""

import gc
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from devtools.tiny import HIDDEN
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import ModelMismatchError
from uec_retriever.experts.attachment import attach_posterior
from uec_retriever.experts.embedder import Embedder
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fitting import fit_posterior
from uec_retriever.experts.head import Linearised
from uec_retriever.experts.loading import tokenizer_lock
from uec_retriever.laplace.files import save_posterior


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.fixture
def pairs(texts):
    return CalibrationPairs([f"what {t} {i}" for i in range(4) for t in texts], [*texts, *texts[::-1]] * 2)


def test_the_posterior_is_read_only_and_another_makes_another_expert(tiny, posterior):
    bare = Expert(tiny("bert"), "tiny", label="a", options={"revision": "1"})
    diag, kron = posterior(bare, "diag"), posterior(bare, "kron")
    with pytest.raises(AttributeError):
        bare.posterior = diag
    one = bare.with_posterior(diag)
    other = one.with_posterior(kron)
    assert (bare.posterior, one.posterior, other.posterior) == (None, diag, kron)
    assert other.with_posterior(None).posterior is None
    assert (other.label, other.name, other.options) == ("a", "tiny", {"revision": "1"})
    assert other.model is bare.model and other.last_layer is bare.last_layer


def test_the_fingerprint_is_hashed_once_for_all_copies(tiny, posterior, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "uec_retriever.experts.linearised.model_fingerprint", lambda model: calls.append(model) or "f"
    )
    bare = Expert(tiny("bert"), "tiny")
    copies = [bare.with_posterior(posterior(bare, s)) for s in ("diag", "kron")]
    assert [e.fingerprint for e in (*copies, bare)] == ["f"] * 3
    assert len(calls) == 1


@pytest.mark.parametrize("structure", ["diag", "kron"])
def test_a_posterior_of_another_shape_is_refused(tiny, static, posterior, structure):
    for model, other in ((tiny("bert"), tiny("bert", truncate_dim=8)), (static(), static(truncate_dim=8))):
        stranger = posterior(Expert(other, "other"), structure)
        expert = Expert(model, "tiny")
        with pytest.raises(ModelMismatchError, match="expert tiny"):
            expert.with_posterior(stranger)
        with pytest.raises(ModelMismatchError, match="expert tiny"):
            Expert(expert.head, "tiny", posterior=stranger)
        assert expert.with_posterior(posterior(expert, structure)).posterior.shape == expert.last_layer.shape


def test_fitting_and_attaching_leave_the_given_expert_as_it_is(tiny, posterior, pairs, tmp_path):
    bare = Expert(tiny("bert"), "tiny")
    fit = fit_posterior(bare, pairs)
    assert bare.posterior is None
    assert fit.expert.posterior is fit.posterior
    earlier = bare.with_posterior(posterior(bare, "diag"))
    again = fit_posterior(earlier, pairs)  # what it had has no say
    assert earlier.posterior.structure == "diag"
    torch.testing.assert_close(again.posterior.output_factor, fit.posterior.output_factor)
    save_posterior(tmp_path / "p", fit.posterior, fit.header)
    attached, header = attach_posterior(earlier, tmp_path / "p")
    assert earlier.posterior.structure == "diag"
    assert (attached.posterior.structure, header.fingerprint) == ("kron", bare.fingerprint)


@pytest.mark.parametrize("kind", ["bert", "tanh", "static"])
def test_hooks_go_with_the_last_expert_that_uses_them(tiny, static, with_head, posterior, texts, kind):
    from sentence_transformers.base.modules import Dense

    makers = {"bert": lambda: tiny("bert"), "tanh": lambda: with_head(Dense(HIDDEN, 8)), "static": static}
    model = makers[kind]()
    assert hooks(model) == 0
    for _ in range(3):
        Expert(model, "tiny").linearise(texts, "document")
    gc.collect()
    assert hooks(model) == 0
    bare = Expert(model, "tiny")
    copied = bare.with_posterior(posterior(bare))
    before = copied.encode(texts, "document").gaussian
    number = hooks(model)
    del bare
    gc.collect()
    assert hooks(model) == number > 0
    np.testing.assert_array_equal(copied.encode(texts, "document").gaussian.variance, before.variance)
    del copied
    gc.collect()
    assert hooks(model) == 0


def test_experts_over_one_model_do_not_disturb_each_other(tiny, expert, texts):
    model = tiny("bert")
    one, other = expert(model, "diag"), expert(model, "kron")
    expected = {e: e.encode(texts, "document").gaussian.variance for e in (one, other)}
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda e: (e, e.encode(texts, "document").gaussian.variance), [one, other] * 12)
        )
    for e, variance in found:
        np.testing.assert_allclose(variance, expected[e], rtol=1e-4)
    del one, e
    found.clear()
    before = expected.pop(other)
    expected.clear()
    gc.collect()
    np.testing.assert_allclose(other.encode(texts, "document").gaussian.variance, before, rtol=1e-4)


def test_experts_come_and_go_while_another_works(tiny, expert, texts):
    model = tiny("bert")
    steady = expert(model)
    expected = steady.encode(texts, "document").gaussian.variance

    def work(turn):
        if turn % 2:
            return expert(model).encode(texts, "document").gaussian.variance
        return steady.encode(texts, "document").gaussian.variance

    with ThreadPoolExecutor(6) as pool:
        for variance in pool.map(work, range(24)):
            np.testing.assert_allclose(variance, expected, rtol=1e-4)


def test_one_lock_for_one_tokenizer_whoever_uses_it(tiny, static, transformer):
    model = tiny("bert")
    twin = SentenceTransformer(modules=[model[0]], device="cpu")  # another model around the same tokenizer
    assert tokenizer_lock(model) is tokenizer_lock(model) is tokenizer_lock(twin)
    assert tokenizer_lock(model) is not tokenizer_lock(tiny("bert"))
    bag = static()  # its tokenizer bears no weak reference
    assert tokenizer_lock(bag) is tokenizer_lock(bag) is not tokenizer_lock(static())


def test_locks_are_forgotten_with_their_tokenizers(tiny):
    from uec_retriever.experts.loading import _LOCKS

    gc.collect()
    before = len(_LOCKS)
    model = tiny("bert")
    tokenizer_lock(model)
    assert len(_LOCKS) == before + 1
    del model
    gc.collect()
    assert len(_LOCKS) == before


def test_embedding_beside_embedding_with_variance_in_sixteen_threads(
    tiny, texts, pairs, tmp_path, monkeypatch
):
    """A fast tokenizer in two threads at once: "Already borrowed", or another text's truncation."""
    model = tiny("bert")
    model.max_seq_length = 12  # some texts are cut, so that truncation is set, and tokenised again without
    fit = fit_posterior(Expert(model, "tiny"), pairs)
    save_posterior(tmp_path / "p", fit.posterior, fit.header)
    embedder = Embedder(model, "tiny", posterior=tmp_path / "p")
    groups = [[f"{t} {i}" for t in texts[i % 4 :]] for i in range(16)]
    calls = [embedder.embed, lambda group: embedder.embed_with_variance(group).mean]
    expected = [calls[i % 2](group) for i, group in enumerate(groups)]
    inside, clashes, tokenize = [], [], model.preprocess

    def watched(*args, **options):
        clashes.extend(inside)
        inside.append(args)
        time.sleep(0.001)  # for others to come in, if they can
        try:
            return tokenize(*args, **options)
        finally:
            inside.pop()

    monkeypatch.setattr(model, "preprocess", watched)
    with ThreadPoolExecutor(16) as pool:
        for _ in range(3):
            found = list(pool.map(lambda i: calls[i % 2](groups[i]), range(16)))
            for one, several in zip(expected, found, strict=True):
                np.testing.assert_allclose(several, one, atol=1e-5)
    assert clashes == []


@pytest.mark.parametrize("gain", [1, 2], ids=["one gain", "a gain a text"])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_linearised_texts_are_chosen_and_joined(gain, sparse):
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(5, 4, generator=generator)
    whole = Linearised(
        features.to_sparse_coo() if sparse else features,
        torch.rand(5, 3, generator=generator),
        torch.rand(5, 3, generator=generator) if gain == 2 else torch.rand(3, generator=generator),
        [True, False, False, True, False],
    )
    parts = [whole[:2], whole[[2]], whole[np.array([3, 4])]]
    assert [len(p) for p in parts] == [2, 1, 2]
    joined = Linearised.concatenate(parts)
    for rows in (slice(None), [4, 0, 0], slice(3, 1, -1)):
        one, other = whole[rows], joined[rows]
        picked = np.arange(5)[rows].tolist()
        assert one.truncated == other.truncated == [whole.truncated[i] for i in picked]
        for found in (one, other):
            dense = found.features.to_dense() if sparse else found.features
            assert torch.equal(dense, features[picked])
            assert torch.equal(found.embeddings, whole.embeddings[picked])
            assert torch.equal(found.gain, whole.gain if gain == 1 else whole.gain[picked])
