"""ONNX files give the embeddings of the models that they were made of, and wrong ones are refused with the fix."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

from devtools.tiny import HIDDEN, tiny_model
from tests.engine.small import pairs
from uec_retriever import Engine, Expert
from uec_retriever.errors import (
    EmbeddingError,
    InvalidInputError,
    MissingExtraError,
    ModelMismatchError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from uec_retriever.experts import onnx_export
from uec_retriever.experts.onnx import OnnxEmbedding
from uec_retriever.experts.onnx_export import export_onnx

onnx = pytest.importorskip("onnx", reason='needs the extra onnx: pip install "uec-retriever[onnx]"')
pytest.importorskip("onnxscript", reason='needs the extra onnx: pip install "uec-retriever[onnx]"')
PROMPTS = {"query": "which text ", "document": "", "clustering": "the model "}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("tiny"), "bert", prompts=PROMPTS)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    made = tmp_path_factory.mktemp("onnx") / "tiny"
    assert export_onnx(model, made) > 0.9999
    return made


@pytest.fixture
def changed(folder, tmp_path):
    """A copy of the folder with other settings in one of its files; None removes it."""

    def make(file, settings, name="changed"):
        copy = tmp_path / name
        if not copy.exists():
            shutil.copytree(folder, copy)
        if settings is None:
            (copy / file).unlink()
        elif isinstance(settings, str):
            (copy / file).write_text(settings)
        else:
            (copy / file).write_text(json.dumps(json.loads((copy / file).read_text()) | settings))
        return copy

    return make


@pytest.fixture
def handmade(changed):
    """A folder with a graph of one lookup, whose inputs and output are chosen."""

    def make(inputs=("input_ids",), output="sentence_embedding"):
        helper, kinds = onnx.helper, onnx.TensorProto
        table = np.random.default_rng(0).standard_normal((80, 8)).astype(np.float32)
        nodes = [
            helper.make_node("Gather", ["table", "input_ids"], ["tokens"]),
            helper.make_node("ReduceMax", ["tokens"], [output], axes=[1], keepdims=0),
        ]
        graph = helper.make_graph(
            nodes,
            "lookup",
            [helper.make_tensor_value_info(name, kinds.INT64, ["batch", "length"]) for name in inputs],
            [helper.make_tensor_value_info(output, kinds.FLOAT, ["batch", 8])],
            [onnx.numpy_helper.from_array(table, "table")],
        )
        made = changed("README.md", "")
        opset = helper.make_opsetid("", 13)
        onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), made / "onnx" / "model.onnx")
        return made, table

    return make


def embed(embedding, texts, role="document", **options):
    vectors = None
    for rows, part in embedding.embed(texts, role, **{"batch_size": 3, **options}):
        vectors = np.empty((len(texts), part.shape[1]), np.float32) if vectors is None else vectors
        vectors[rows] = part
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_embeddings_are_the_models_own(model, folder, texts):
    embedding = OnnxEmbedding(str(folder))
    assert (embedding.dimension, embedding.costly) == (HIDDEN, False)
    for role, encode in (
        ("query", model.encode_query),
        ("document", model.encode_document),
        ("text", model.encode),
    ):
        np.testing.assert_allclose(embed(embedding, texts, role), encode(texts), atol=1e-4)
    preferred = model.encode(texts, prompt=PROMPTS["clustering"])
    np.testing.assert_allclose(
        embed(embedding, texts, prompts=["nothing", "clustering"]), preferred, atol=1e-4
    )
    bare = OnnxEmbedding(str(folder), prompts={})
    np.testing.assert_allclose(embed(bare, texts, "query"), model.encode(texts), atol=1e-4)
    assert bare.fingerprint != embedding.fingerprint == OnnxEmbedding(str(folder)).fingerprint


@pytest.mark.parametrize("mode", ["cls", "max"])
def test_pooling_is_the_folders(mode, changed, texts, tmp_path):
    own = tiny_model(tmp_path / "own", "bert", pooling=mode)
    embedding = OnnxEmbedding(str(changed("1_Pooling/config.json", {"pooling_mode": mode})))
    np.testing.assert_allclose(embed(embedding, texts), own.encode(texts), atol=1e-4)
    older = {"word_embedding_dimension": HIDDEN, f"pooling_mode_{mode}_token{'s' * (mode == 'max')}": True}
    folder = changed("1_Pooling/config.json", json.dumps(older))
    np.testing.assert_array_equal(embed(OnnxEmbedding(str(folder)), texts), embed(embedding, texts))
    changed("modules.json", None)
    with pytest.raises(UnsupportedModelError, match="give\\s+pooling="):
        OnnxEmbedding(str(folder))
    told = OnnxEmbedding(str(folder), pooling=mode)
    np.testing.assert_array_equal(embed(told, texts), embed(embedding, texts))
    assert told.fingerprint == embedding.fingerprint != OnnxEmbedding(str(folder), pooling="mean").fingerprint


def test_long_texts_are_cut_as_the_model_cuts_them_and_told(model, folder, changed):
    expert, own = Expert.load(f"onnx:{folder}"), Expert(model, "own")
    texts = [" ".join(["wing flow heat"] * n) for n in range(1, 30)] + ["é" * 60, "."]
    for role in ("query", "document"):
        found, expected = expert.linearise(texts, role), own.linearise(texts, role)
        assert found.truncated == expected.truncated and any(found.truncated) and not all(found.truncated)
        unit = expected.embeddings / expected.embeddings.norm(dim=1, keepdim=True)
        np.testing.assert_allclose(found.embeddings, unit, atol=1e-4)
    other = OnnxEmbedding(str(changed("sentence_bert_config.json", {"max_seq_length": 5})))
    assert other.truncated(["wing flow heat", "wing flow heat cat"], "text") == [False, True]
    assert other.fingerprint != expert.fingerprint
    model.max_seq_length, before = 5, model.max_seq_length
    np.testing.assert_allclose(embed(other, texts, "text"), model.encode(texts), atol=1e-4)
    model.max_seq_length = before


def test_texts_are_lowered_where_the_model_lowers(changed, texts):
    given = json.loads(changed("README.md", "").joinpath("tokenizer.json").read_text())
    folder = changed("tokenizer.json", json.dumps(given | {"normalizer": None}))
    shouted = [text.upper() for text in texts]
    as_they_are = OnnxEmbedding(str(folder))
    assert np.abs(embed(as_they_are, shouted) - embed(as_they_are, texts)).max() > 0.01
    changed("sentence_bert_config.json", {"do_lower_case": True})
    lowered = OnnxEmbedding(str(folder))
    np.testing.assert_allclose(embed(lowered, shouted), embed(lowered, texts), atol=1e-6)


def test_many_threads_get_what_one_gets(folder, texts):
    embedding = OnnxEmbedding(str(folder), threads=2)
    expected = embed(embedding, texts, "query")
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: embed(embedding, texts, "query", batch_size=8), range(40)):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_index_is_made_and_reopened(folder, changed, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    expert = Expert.load("onnx:tiny", label="tiny", threads=1)
    assert expert.name == f"onnx:{folder}" and expert.options == {}
    with Engine.create(tmp_path / "index", [expert], pairs()) as engine:
        engine.add(["the wing", "the cat", "red and green"], ids=["a", "b", "c"])
        [before] = [hit.id for hit in engine.search("the cat", 1)]
    monkeypatch.chdir(tmp_path)
    with Engine.open(tmp_path / "index") as engine:
        assert [hit.id for hit in engine.search("the cat", 1)] == [before]
    other = changed("1_Pooling/config.json", {"pooling_mode": "cls"})
    with pytest.raises(ModelMismatchError, match="tiny"):
        Engine.open(tmp_path / "index", experts={"tiny": Expert.load(f"onnx:{other}", label="tiny")})


def test_a_folder_says_what_it_lacks(folder, changed, tmp_path):
    with pytest.raises(ModelNotFoundError, match="uec export-onnx MODEL FOLDER"):
        Expert.load(f"onnx:{tmp_path / 'nowhere'}")
    with pytest.raises(
        ModelNotFoundError, match=r"no onnx/other.onnx: give file_name=, one of \['onnx/model.onnx'\]"
    ):
        Expert.load(f"onnx:{folder}", file_name="onnx/other.onnx")
    with pytest.raises(InvalidInputError, match="pooling must be one of"):
        Expert.load(f"onnx:{folder}", pooling="median")
    with pytest.raises(InvalidInputError, match="threads"):
        Expert.load(f"onnx:{folder}", threads=0)
    with pytest.raises(InvalidInputError, match="nonsense"):
        Expert.load(f"onnx:{folder}", nonsense=1)
    with pytest.raises(ModelNotFoundError, match="has no tokenizer.json: save"):
        OnnxEmbedding(str(changed("tokenizer.json", None, "a")))
    with pytest.raises(ModelNotFoundError, match="cannot read .*tokenizer.json.*Save"):
        OnnxEmbedding(str(changed("tokenizer.json", "{}", "b")))
    with pytest.raises(ModelNotFoundError, match="make one with `uec export-onnx"):
        OnnxEmbedding(str(changed("onnx/model.onnx", None, "c")))
    with pytest.raises(ModelNotFoundError, match="cannot load .*model.onnx.*Copy or export the file anew"):
        OnnxEmbedding(str(changed("onnx/model.onnx", "nonsense", "d")))
    for file in ("modules.json", "config.json"):
        with pytest.raises(InvalidInputError, match=f"{file} is no JSON .* copy the file"):
            OnnxEmbedding(str(changed(file, "nonsense", file)))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"pooling_mode": "lasttoken"}, "'lasttoken'"),
        ({"pooling_mode": ["cls", "mean"]}, r"\['cls', 'mean'\]"),
        ({"include_prompt": False}, "without the prompt"),
    ],
)
def test_other_poolings_are_refused(settings, told, changed):
    with pytest.raises(UnsupportedModelError, match=f"{told}.*without the prefix onnx:"):
        OnnxEmbedding(str(changed("1_Pooling/config.json", settings)))


def test_a_module_after_the_graph_is_refused_whatever_the_pooling(changed):
    folder = changed("README.md", "")
    modules = json.loads((folder / "modules.json").read_text())
    dense = [*modules, {"path": "3_Dense", "type": "sentence_transformers.models.Dense"}]
    changed("modules.json", json.dumps(dense))
    for pooling in (None, "mean"):
        with pytest.raises(UnsupportedModelError, match="module Dense, which its ONNX file leaves out"):
            OnnxEmbedding(str(folder), pooling=pooling)


def test_a_whole_model_in_the_graph_needs_no_pooling(handmade, changed):
    folder, table = handmade()
    changed("modules.json", None)
    embedding = OnnxEmbedding(str(folder))
    ids = embedding._tokenizer.encode("the wing").ids
    expected = table[ids].max(0)
    np.testing.assert_allclose(
        embed(embedding, ["the wing"])[0], expected / np.linalg.norm(expected), atol=1e-6
    )


def test_what_a_graph_asks_for_is_given_or_refused(handmade):
    folder, _ = handmade(["input_ids", "position_ids"])
    with pytest.raises(UnsupportedModelError, match="asks for position_ids"):
        OnnxEmbedding(str(folder))


def test_a_failure_names_the_text(folder, monkeypatch):
    embedding = OnnxEmbedding(str(folder))
    monkeypatch.setitem(vars(embedding), "_output", "nothing")
    with pytest.raises(EmbeddingError, match="onnx:.* failed: .*nothing") as refusal:
        list(embedding.embed(["wing", "the wing flow"], "query", batch_size=1))
    assert refusal.value.position == 1  # the longer one goes first


def test_export_refuses_with_the_fix(model, static, with_head, folder, tmp_path, monkeypatch):
    with pytest.raises(InvalidInputError, match="is not empty: give a new folder"):
        export_onnx(model, folder)
    with pytest.raises(InvalidInputError, match="quantise must be 'int8' or None"):
        export_onnx(model, tmp_path / "new", quantise="int3")
    for kind, others in (("Dense", with_head(Dense(HIDDEN, 8))), ("StaticEmbedding", static())):
        with pytest.raises(
            UnsupportedModelError, match=f"^a model with a module {kind} .*use the model itself$"
        ):
            export_onnx(others, tmp_path / "new")
    last = SentenceTransformer(modules=[model[0], Pooling(HIDDEN, "lasttoken"), Normalize()], device="cpu")
    with pytest.raises(UnsupportedModelError, match="'lasttoken'"):
        export_onnx(last, tmp_path / "new")
    monkeypatch.setattr(
        onnx_export, "_export", lambda model, path: shutil.copy(folder / "onnx/model.onnx", path)
    )
    other = tiny_model(tmp_path / "other", "bert", seed=1)
    with pytest.raises(UnsupportedModelError, match="gives other embeddings"):
        export_onnx(other, tmp_path / "new")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other"]
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "uec-retriever\[onnx\]"'):
        export_onnx(model, tmp_path / "new")


def test_an_int8_folder_and_the_command(model, folder, tmp_path, monkeypatch, capsys):
    from uec_retriever.cli.app import app

    monkeypatch.setattr(
        onnx_export, "_export", lambda model, path: shutil.copy(folder / "onnx/model.onnx", path)
    )
    model.save(str(tmp_path / "source"))
    (tmp_path / "out").mkdir()
    app(
        ["export-onnx", str(tmp_path / "source"), str(tmp_path / "out"), "--int8", "--json"],
        standalone_mode=False,
    )
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == str(tmp_path / "out") and 0.99 < told["lowest_cosine"] < 1
    assert not list((tmp_path / "out").rglob("*.safetensors"))
    small, texts = OnnxEmbedding(str(tmp_path / "out")), ["the wing", "red and green"]
    assert (embed(small, texts, "query") * model.encode_query(texts)).sum(1).min() > 0.99
