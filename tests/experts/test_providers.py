"""Experts of other local libraries, the real ones: model2vec, fastembed."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from devtools.tiny import tokenizer
from tests.engine.small import pairs
from uec_retriever import Engine, Expert
from uec_retriever.errors import InvalidInputError, ModelMismatchError, ModelNotFoundError, NumericalError

TEXTS = ["the wing", "red and green", "hello world cat dog", "the boundary layer flow " * 4]


def table(seed=0):
    return np.random.default_rng(seed).standard_normal((len(tokenizer()), 16)).astype(np.float32)


@pytest.fixture
def static(tmp_path):
    """Folder of a model2vec model, by seed and options of `StaticModel`."""
    model2vec = pytest.importorskip("model2vec", reason="needs model2vec: pip install model2vec")

    def make(seed=0, name="static", **options):
        model = model2vec.StaticModel(table(seed), tokenizer().backend_tokenizer, **options)
        model.save_pretrained(tmp_path / name)
        return model, tmp_path / name

    return make


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_model2vec_gives_its_own_embeddings(static):
    model, folder = static()
    expert = Expert.load(f"model2vec:{folder}")
    assert (expert.dimension, expert.label, expert.head.embedding.costly) == (16, "static", False)
    for role in ("query", "document", "text"):
        found = expert.linearise(TEXTS, role, batch_size=3)
        np.testing.assert_allclose(found.embeddings, unit(model.encode(TEXTS)), atol=1e-6)
    given = Expert.of(model)  # an object in memory
    assert given.fingerprint == expert.fingerprint
    with pytest.raises(NumericalError) as refusal:
        expert.linearise(["the wing", "nowhere"], "query")
    assert refusal.value.position == 1


def test_a_model2vec_fingerprint_is_of_weights_and_use(static):
    base = Expert.of(static()[0]).fingerprint
    assert Expert.of(static(name="again")[0]).fingerprint == base
    for options in ({"seed": 1}, {"normalize": True}, {"max_length": 9}, {"weights": table()[:, 0]}):
        assert Expert.of(static(name=str(options)[2:6], **options)[0]).fingerprint != base


def test_model2vec_tells_of_cut_texts_and_bears_threads(static):
    expert = Expert.load(f"model2vec:{static(max_length=10)[1]}")
    texts = [" ".join(["wing"] * number) for number in range(1, 25)]
    cut = [
        len(text) > 10 * 4 for text in texts
    ]  # it cuts to 10 times the median length of its tokens, then to 10 tokens
    assert expert.linearise(texts, "document").truncated == cut
    assert expert.linearise(["wing " + "nowhere" * 30], "query").truncated == [
        True
    ]  # cut by characters first

    def run(_):
        found = expert.linearise(texts, "document")
        return found.embeddings.numpy(), found.truncated

    with ThreadPoolExecutor(8) as pool:
        for vectors, flags in pool.map(run, range(30)):
            np.testing.assert_allclose(vectors, expert.linearise(texts, "document").embeddings, atol=1e-6)
            assert flags == cut


def test_an_index_over_model2vec_is_reopened(static, tmp_path, monkeypatch):
    monkeypatch.chdir(static()[1].parent)
    expert = Expert.load("model2vec:static", label="static", normalize=True)
    assert expert.options == {"normalize": True}
    with Engine.create(tmp_path / "index", [expert], pairs()) as engine:
        engine.add(TEXTS, ids=list("abcd"))
    monkeypatch.chdir("/")
    with Engine.open(tmp_path / "index") as engine:
        assert [hit.id for hit in engine.search("red and green", 1)] == ["b"]
    static(seed=1)  # another model in the same folder
    with pytest.raises(ModelMismatchError, match="static"):
        Engine.open(tmp_path / "index")


def test_model2vec_refuses_with_the_fix(static, tmp_path):
    static()
    with pytest.raises(ModelNotFoundError, match="model2vec cannot load"):
        Expert.load(f"model2vec:{tmp_path / 'nowhere'}")
    with pytest.raises(InvalidInputError, match="nonsense"):
        Expert.load(f"model2vec:{tmp_path / 'static'}", nonsense=1)


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    """Folder of a model that looks token vectors up, which fastembed knows as `test/lookup`, a mean over tokens."""
    fastembed = pytest.importorskip("fastembed", reason="needs fastembed: pip install fastembed")
    onnx = pytest.importorskip("onnx", reason='needs the extra onnx: pip install "uec-retriever[onnx]"')
    from fastembed.common.model_description import ModelSource, PoolingType

    folder, helper, kinds = tmp_path_factory.mktemp("fast"), onnx.helper, onnx.TensorProto
    tokenizer().save_pretrained(folder)
    (folder / "config.json").write_text('{"pad_token_id": 0}')
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])],
        "lookup",
        [helper.make_tensor_value_info("input_ids", kinds.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info("last_hidden_state", kinds.FLOAT, ["batch", "tokens", 16])],
        [onnx.numpy_helper.from_array(table(), "table")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(made, folder / "model.onnx")
    fastembed.TextEmbedding.add_custom_model(
        "test/lookup", PoolingType.MEAN, True, ModelSource(hf="test/lookup"), dim=16, model_file="model.onnx"
    )
    return folder


def test_fastembed_gives_the_models_embeddings_and_an_index_is_reopened(fast, tmp_path):
    expert = Expert.load("fastembed:test/lookup", label="fast", specific_model_path=str(fast), threads=1)
    expected = [table()[tokenizer()(text)["input_ids"]].mean(0) for text in TEXTS]
    for role in ("query", "document", "text"):
        found = expert.linearise(TEXTS, role, batch_size=3).embeddings
        np.testing.assert_allclose(found, unit(np.stack(expected)), atol=1e-5)
    assert expert.options == {"specific_model_path": str(fast)}
    assert expert.fingerprint.startswith("probes-")
    with Engine.create(tmp_path / "index", [expert], pairs()) as engine:
        engine.add(TEXTS, ids=list("abcd"))
    with Engine.open(tmp_path / "index") as engine:
        assert [hit.id for hit in engine.search("red and green", 1)] == ["b"]


def test_fastembed_refuses_with_the_fix(fast, tmp_path):
    with pytest.raises(ModelNotFoundError, match="fastembed cannot load 'test/nothing'"):
        Expert.load("fastembed:test/nothing")
    with pytest.raises(ModelNotFoundError, match="fastembed cannot load 'test/lookup'"):
        Expert.load("fastembed:test/lookup", specific_model_path=str(tmp_path))
