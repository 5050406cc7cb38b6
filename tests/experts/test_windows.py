"""What an expert sees of a text is what texts are split by: no piece is cut, by any kind of expert."""

import logging
from pathlib import Path

import pytest

from tests.engine.small import bert_model, load, pairs, static_model
from uec_retriever import Engine, Expert, Record, split_records
from uec_retriever.experts.splitting import make_splitter
from uec_retriever.experts.static_model import StaticModelEmbedding

LENGTHS = [*range(1, 8), *range(35, 60), 100]
TEXT = " ".join(f"The wing {'flow ' * (i % 7)}is number {i}." for i in range(60))


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return bert_model(folder / "bert", folder / "workspace")


def of_bert(bert, tmp_path):
    return Expert.load(bert, device="cpu")


def with_a_prompt(bert, tmp_path):
    return Expert.load(
        bert, device="cpu", prompts={"document": "which text is this one: ", "query": "what: "}
    )


def as_it_is(bert, tmp_path):
    return Expert.load(bert, device="cpu", head="identity")


def in_onnx(bert, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from uec_retriever.experts.onnx_export import export_onnx

    folder = Path(bert).parent / "onnx"
    if not folder.exists():
        export_onnx(of_bert(bert, tmp_path).model, folder)
    return Expert.load(f"onnx:{folder}")


def of_model2vec(bert, tmp_path):
    model2vec = pytest.importorskip("model2vec")
    import numpy as np
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = ["[UNK]", "The", "wing", "flow", "is", "number", "."]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = np.random.default_rng(0).normal(size=(len(names), 8)).astype(np.float32)
    model = model2vec.StaticModel(vectors, tokenizer)
    model.max_length = 48
    return Expert.of(StaticModelEmbedding(model, "m"))


KINDS = [of_bert, with_a_prompt, as_it_is, in_onnx, of_model2vec]


def cuts(expert, texts):
    head = expert.head
    if hasattr(head, "embedding"):
        return head.embedding.truncated(texts, "document")
    return head.linearise(texts, "document", batch_size=8, progress=None, prompts=()).truncated


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_is_what_the_expert_cuts_at(kind, bert, tmp_path):
    expert = kind(bert, tmp_path)
    window = expert.head.window
    texts = [" ".join(["wing"] * n) for n in LENGTHS]
    assert window.limit == 48
    found = cuts(expert, texts)
    assert [window.count(text) > window.limit for text in texts] == found
    assert any(found) and not all(found)


@pytest.mark.parametrize("kind", KINDS)
def test_no_piece_is_cut(kind, bert, tmp_path):
    expert = kind(bert, tmp_path)
    [whole] = records = [Record("doc", TEXT)]
    pieces = list(split_records(records, [expert]))
    assert cuts(expert, [whole.text]) == [True] and len(pieces) > 5
    assert not any(cuts(expert, [piece.text for piece in pieces]))
    assert sum(len(p.text) for p in pieces) / len(pieces) > 0.3 * len(TEXT) * 48 / expert.head.window.count(
        TEXT
    )


def test_experts_that_do_not_tell_leave_it_to_the_others(bert, tmp_path):
    unknown = Expert.of(lambda texts: [[1.0, 2.0]] * len(texts), name="theirs")
    bag = Expert.load(static_model(tmp_path / "bag", 0), device="cpu")
    assert unknown.head.window is None and bag.head.window is None
    assert make_splitter([unknown, bag]).tokens == 512
    assert make_splitter([unknown, of_bert(bert, tmp_path), bag]).tokens == 48


def test_an_index_of_pieces_has_nothing_cut_and_one_of_whole_texts_says_which(bert, tmp_path, caplog):
    with Engine.create(tmp_path / "index", load({"bert": bert}), pairs()) as engine:
        with caplog.at_level(logging.WARNING):
            report = engine.add_records(split_records([Record("doc", TEXT)], engine.experts))
            assert report.added > 5 and report.truncated == {} and not caplog.records
            engine.add([TEXT, "short", TEXT + "!"], ids=["a", "b", "c"])
        [message] = [record.getMessage() for record in caplog.records]
        assert message.startswith("bert cut 2 texts to its maximal length") and "(e.g. 'a', 'c')" in message
        hit = engine.search("wing number 59", 1, where={"document_id": "doc"}).hits[0]
        assert TEXT[hit.metadata["start"] :].startswith(hit.text)
