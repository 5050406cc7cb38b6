"""Texts that are cut are told of, once a call; and a tokenizer is used by one thread at a time."""

import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.engine.small import bert_model, load, pairs, static_model
from uec_retriever import Embedder, Engine, Expert, fit_posterior
from uec_retriever.engine.results import AddReport
from uec_retriever.experts.truncation import truncation_flags
from uec_retriever.laplace.files import save_posterior

LONG = "the wing flow heat " * 30
LOGGER = "uec_retriever.data.truncation"


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return bert_model(folder / "bert", folder / "workspace")


@pytest.fixture(scope="module")
def posterior(bert, tmp_path_factory):
    path = tmp_path_factory.mktemp("posterior") / "bert"
    fit = fit_posterior(Expert.load(bert, device="cpu"), pairs())
    save_posterior(path, fit.posterior, fit.header)
    return path


def said(caplog):
    messages = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    caplog.clear()
    return messages


def test_an_embedding_tells_of_cut_texts(bert, posterior, caplog):
    embedder = Embedder.load(bert, posterior=posterior, device="cpu")
    with caplog.at_level(logging.WARNING):
        for embed in (embedder.embed, embedder.embed_with_variance):
            embed(["the wing", LONG, "the cat", LONG * 2])
            [message] = said(caplog)
            assert message.startswith("bert cut 2 texts to its maximal length")
            assert "(e.g. 1, 3): split" in message
            embed([LONG], "query")
            [message] = said(caplog)
            assert message.startswith("bert cut the query")
            embed(["the wing"])
            assert said(caplog) == []


def test_flags_are_those_of_the_expert_at_every_length(bert):
    [expert] = load({"bert": bert})
    for prompt in (None, "which text "):
        texts = [" ".join(["wing"] * n) for n in range(1, 60)]
        texts += ["é" * 60, "🙂 " * 40, "."]
        encoded = expert.head.forward(texts, prompt)
        assert truncation_flags(expert.model, texts, prompt) == encoded.truncated
        assert any(encoded.truncated) and not all(encoded.truncated)


def test_a_bag_of_tokens_cuts_nothing(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        Embedder.load(static_model(tmp_path / "static", 0), device="cpu").embed([LONG * 20])
    assert said(caplog) == []


def test_the_engine_says_which_texts_were_cut(bert, tmp_path):
    with Engine.create(tmp_path / "index", load({"bert": bert}), pairs()) as engine:
        report = engine.add(["the wing", LONG, LONG + "cat"], ids=["a", "b", "c"])
        assert (report.truncated, report.truncated_ids) == ({"bert": 2}, ("b", "c"))
        many = engine.add([f"{LONG} {'cat ' * n}" for n in range(300)])
        assert many.truncated == {"bert": 300} and len(many.truncated_ids) == 5
        rescored = engine.rescore(LONG, ["the wing", LONG])
        assert (rescored.truncated, rescored.truncated_positions) == ({"bert": 1}, (1,))
        assert rescored.query_truncated == ("bert",)
        assert engine.rescore("wing", ["the wing"]).truncated == {}


def test_reports_add_up():
    first = AddReport(added=1, skipped=1, truncated={"a": 1}, truncated_ids=("x",))
    both = first + AddReport(added=1, deleted=2, truncated={"b": 2}, truncated_ids=("y", "z"))
    assert both == AddReport(added=2, skipped=1, deleted=2, truncated={"a": 1, "b": 2})
    assert both.truncated_ids == ("x", "y", "z")


def test_one_thread_at_a_time_in_a_tokenizer(bert, posterior, monkeypatch):
    """Else one thread's texts are cut or not as another wants it: tensors of 522 and of 512 tokens."""
    embedder = Embedder.load(bert, posterior=posterior, device="cpu")
    texts = [f"{LONG} {'cat ' * i}" if i % 3 else f"wing {i}" for i in range(16)]
    calls = [
        lambda text: embedder.embed([text], "query"),
        lambda text: embedder.embed_with_variance([text], "query").mean,
    ]
    expected = [calls[i % 2](text) for i, text in enumerate(texts)]
    inside, clashes, tokenizer = set(), [], embedder.model.tokenizer
    name = next(n for n in ("_batch_encode_plus", "_encode_plus") if hasattr(tokenizer, n))
    encode = getattr(type(tokenizer), name)

    def watched(self, *args, **options):
        clashes.extend(inside - {threading.get_ident()})
        inside.add(threading.get_ident())
        try:
            return encode(self, *args, **options)
        finally:
            inside.discard(threading.get_ident())

    monkeypatch.setattr(type(tokenizer), name, watched)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(16) as pool:
            for _ in range(3):
                found = list(pool.map(lambda i: calls[i % 2](texts[i]), range(16)))
                np.testing.assert_allclose(np.stack(found), np.stack(expected), atol=1e-5)
    finally:
        sys.setswitchinterval(before)
    assert clashes == []
