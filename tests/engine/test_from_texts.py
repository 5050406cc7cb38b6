"""Making an index in one go, rescoring, and searching with embeddings."""

import ast
import shutil

import chromadb
import numpy as np
import pytest

from tests.engine.small import pairs, sentences
from uec_retriever.data.records import SOURCE_KEY, Record, make_records
from uec_retriever.data.stdlib_docs import docstring_pairs
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.location import Location
from uec_retriever.engine.recipe import Recipe
from uec_retriever.errors import IdConflictError, InvalidInputError, ModelMismatchError

TEXTS = sentences(60, seed=3, words=14)


@pytest.fixture(scope="module")
def filled(made_empty, loaded, tmp_path_factory):
    """An index of the texts, for tests that only read."""
    folder = tmp_path_factory.mktemp("filled") / "index"
    shutil.copytree(made_empty("static", "bert"), folder)
    with Engine.open(folder, experts={label: loaded[label] for label in ("static", "bert")}) as engine:
        engine.use_words(False)  # embeddings have none
        engine.add(list(dict.fromkeys(TEXTS)))
        yield engine


def test_texts_make_an_index_and_the_next_call_adds_to_it(tmp_path, models):
    paths = [models["static"], models["bert"]]
    engine = Engine.from_texts(TEXTS[:50], paths, tmp_path / "index", metadatas=[{"n": i} for i in range(50)])
    assert engine.count() == 50
    assert {"title", "first sentence", "halves"} & set(engine.manifest.reference.split())
    assert engine.search(TEXTS[0], 1).hits[0].metadata == {"n": 0}
    again = Engine.from_texts(
        TEXTS[50:], location=tmp_path / "index", recipe=Recipe(structure="kron", layout="block")
    )
    assert again.count() == 60
    assert str(tmp_path / "index") in repr(again) and repr(again.ensemble.labels) in repr(again)
    assert again.manifest == engine.manifest


def test_docstring_pairs_are_the_same_each_time_and_survive_the_parser_of_python_3_11(monkeypatch):
    expected, real, calls = docstring_pairs(), ast.parse, []
    assert len(expected) == 160

    def parse(source):
        calls.append(source)
        if len(calls) % 2:
            raise SystemError("AST constructor recursion depth mismatch")
        return real(source)

    monkeypatch.setattr(ast, "parse", parse)
    assert docstring_pairs() == expected


def test_without_a_folder_it_is_gone_with_the_engine(experts):
    engine = Engine.from_texts(TEXTS, experts("static"), recipe=Recipe(pairs()))
    folder = engine._folder.path
    assert engine.search(TEXTS[0], 1).hits[0].text == TEXTS[0]
    assert folder.is_dir()
    engine.close()
    del engine
    assert not folder.exists()


def test_an_ephemeral_client_needs_no_folder(experts):
    client = chromadb.EphemeralClient()
    engine = Engine.from_texts(
        TEXTS, experts("static"), Location(client=client, collection="passing"), Recipe(pairs())
    )
    assert engine.count() == 60
    assert not (engine._folder.path / "chroma" / "chroma.sqlite3").exists()


def test_what_keeps_texts_needs_a_folder(experts, server, tmp_path):
    for options in ({"url": server}, {"client": chromadb.PersistentClient(str(tmp_path))}):
        with pytest.raises(InvalidInputError, match="path="):
            Engine.from_texts(TEXTS, experts("static"), Location(**options), Recipe(pairs()))


async def test_clients_that_cannot_be_used_are_refused(experts, tmp_path, server):
    host, port = server.removeprefix("http://").split(":")
    client = await chromadb.AsyncHttpClient(host=host, port=int(port))
    with pytest.raises(InvalidInputError, match="HttpClient"):
        Engine.from_texts(TEXTS, experts("static"), Location(tmp_path, client=client), Recipe(pairs()))


@pytest.mark.parametrize("other", [{"structure": "diag"}, {"layout": "sum"}, {"temperature": 77.0}])
def test_an_index_made_otherwise_is_not_added_to(make, other):
    engine = make("static", temperature=1.0)
    with pytest.raises(InvalidInputError, match=next(iter(other))):
        Engine.from_texts(TEXTS, location=engine._folder.path, recipe=Recipe(**other))


def test_an_index_of_other_experts_is_not_added_to(make, experts):
    engine = make("static")
    with pytest.raises(ModelMismatchError, match="leave the experts out"):
        Engine.from_texts(TEXTS, experts("other"), engine._folder.path)


def test_no_index_and_no_experts(tmp_path):
    with pytest.raises(InvalidInputError, match="experts="):
        Engine.from_texts(TEXTS, location=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_bad_text_is_refused_before_anything_is_made(tmp_path, experts):
    with pytest.raises(InvalidInputError, match="text 1"):
        Engine.from_texts(["good text", ""], experts("static"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_rescoring_equals_searching(filled):
    for query in sentences(4, seed=9):
        result = filled.search(query, 20)
        again = filled.rescore(query, [hit.text for hit in result])
        np.testing.assert_allclose(again.raw_scores, [h.raw_score for h in result], atol=1e-5)
        np.testing.assert_allclose(again.scores, [h.score for h in result], atol=1e-5)
        np.testing.assert_allclose(again.deviations, [h.deviation for h in result], atol=1e-4)
        assert again.coefficients == pytest.approx(result.coefficients)


def test_rescoring_follows_a_recalibration(make):
    engine = make("static", "bert")
    engine.add(list(dict.fromkeys(TEXTS)))
    engine.recalibrate(pairs(seed=7))
    result = engine.search(TEXTS[5], 10)
    again = engine.rescore(TEXTS[5], [hit.text for hit in result])
    np.testing.assert_allclose(again.deviations, [h.deviation for h in result], rtol=1e-3, atol=1e-3)


def test_rescoring_nothing(filled):
    assert len(filled.rescore("the wing", []).scores) == 0
    with pytest.raises(InvalidInputError, match="query 0"):
        filled.rescore(" ", ["text"])
    with pytest.raises(InvalidInputError, match="text 1"):
        filled.rescore("the wing", ["text", None])


def test_searching_with_an_embedding_of_the_index(filled):
    query = sentences(1, seed=11)[0]
    embedding = filled.embed_queries([query])[0]
    by_text, by_embedding = filled.search(query, 10, candidates=60), filled.search_embedding(embedding, 10)
    assert [h.id for h in by_text][:3] == [h.id for h in by_embedding][:3]
    assert by_embedding.coefficients == {}
    length = sum(np.linalg.norm(block) for block in np.split(embedding, [24]))
    for hit in by_embedding:
        assert 0 <= hit.score <= 1
        document = filled.ensemble.encode_documents([hit.text]).gaussian.variance[0]
        assert hit.deviation**2 == pytest.approx(
            (embedding / max(1.0, length)) ** 2 @ document, rel=1e-3, abs=1e-7
        )


def test_a_stored_embedding_finds_its_text(filled):
    record = filled.get()[7]
    result = filled.search_embedding(filled.vectors_by_id([record.id])[record.id].tolist(), 1)
    assert result.hits[0].id == record.id
    assert result.hits[0].score <= 1


@pytest.mark.parametrize("embedding", [[0.5, 0.5], [], [[0.1] * 56] * 2])
def test_embeddings_of_another_dimension_are_refused(filled, embedding):
    with pytest.raises(InvalidInputError, match=f"{filled.manifest.dimension}"):
        filled.search_embedding(embedding)
    with pytest.raises(InvalidInputError, match="NaN"):
        filled.search_embedding([float("nan")] * filled.manifest.dimension)


def test_vectors_are_told_by_id(filled):
    ids = [r.id for r in filled.get()[:4]]
    vectors = filled.vectors_by_id([ids[2], "unknown", ids[0]])
    assert set(vectors) == {ids[2], ids[0]}
    texts = [filled.get([i])[0].text for i in vectors]
    np.testing.assert_allclose(filled.embed_documents(texts), list(vectors.values()), atol=1e-6)
    assert filled.vectors_by_id([]) == {}


def test_searching_with_several_texts_is_searching_with_their_mean(filled):
    queries = sentences(3, seed=12)
    assert filled.search_together(queries[:1], 5) == filled.search(queries[0], 5)
    result = filled.search_together(queries, 5, candidates=60)
    encoded = filled.ensemble.encode_queries(queries).gaussian
    mean, variance = encoded.mean.mean(0), encoded.variance.sum(0) / 9
    for hit in result:
        stored = filled.vectors_by_id([hit.id])[hit.id].astype(np.float64)
        document = filled.ensemble.encode_documents([hit.text]).gaussian.variance[0]
        expected = mean**2 @ document + variance @ stored**2 + variance @ document
        assert hit.deviation**2 == pytest.approx(expected, rel=1e-3)
    with pytest.raises(InvalidInputError, match="at least one"):
        filled.search_together([])


def test_what_is_embedded_may_differ_from_the_text(make, encoded):
    engine = make("static")
    seen = encoded(engine)
    record = Record("a", "the wing", {"n": 1}, embedded="flow heat pressure", payload='{"kept": true}')
    engine.add_records([record])
    assert seen == ["flow heat pressure"]
    assert engine.get(["a"]) == [record]
    hit = engine.search("flow heat pressure", 1).hits[0]
    assert (hit.text, hit.metadata, hit.payload) == ("the wing", {"n": 1}, '{"kept": true}')
    assert hit.raw_score > engine.search("the wing", 1).hits[0].raw_score
    assert engine.add_records([record]).unchanged == 1


def test_other_embedded_text_is_other_content_and_embedded_anew(make, encoded):
    engine = make("static")
    engine.add_records([Record("a", "the wing", embedded="flow heat", payload="p")])
    seen = encoded(engine)
    with pytest.raises(IdConflictError):
        engine.add(["the wing"], ["a"], existing="refuse")
    assert engine.add(["the wing"], ["a"]).updated == 1
    assert seen == ["the wing"]
    assert engine.get() == [Record("a", "the wing")]


def test_a_record_without_payload_says_nothing_of_it(make, encoded):
    engine = make("static")
    engine.add_records([Record("a", "the wing", {"n": 1}, payload="p")])
    seen = encoded(engine)
    assert engine.add(["the wing"], ["a"], [{"n": 1}]).unchanged == 1
    assert engine.add(["the wing"], ["a"], [{"n": 2}]).updated == 1
    assert engine.get() == [Record("a", "the wing", {"n": 2}, payload="p")]
    assert engine.add_records([Record("a", "the wing", {"n": 2}, payload="q")]).updated == 1
    assert engine.get()[0].payload == "q"
    assert seen == []


def test_another_index_gets_embedded_texts_and_payloads_too(make):
    old, new = make("static", folder="old"), make("bert", folder="new")
    record = Record("a", "the wing", embedded="flow heat", payload="p")
    old.add_records([record])
    old.copy_to(new)
    assert new.get() == [record]


def test_a_result_tells_what_was_searched_with(filled):
    query, other = sentences(2, seed=13)
    np.testing.assert_allclose(filled.search(query, 1).embedding, filled.embed_queries([query])[0], atol=1e-6)
    both = filled.search_together([query, other], 1)
    np.testing.assert_allclose(both.embedding, filled.embed_queries([query, other]).mean(0), atol=1e-6)


def test_several_texts_at_another_temperature(filled):
    query = sentences(1, seed=14)[0]
    assert filled.search_together([query], 5, temperature=0.1) == filled.search(query, 5, temperature=0.1)


def test_the_source_of_a_text_can_be_searched_and_deleted_by(make):
    engine = make("static")
    records = make_records(
        ["the wing", "flow heat", "red bird"], ["a", "b", "c"], [{"n": 1}] * 3, sources=["one", "two", None]
    )
    engine.add_records(records)
    assert engine.get() == records
    assert [h.id for h in engine.search("the wing", 3, where={SOURCE_KEY: "two"})] == ["b"]
    assert engine.search("the wing", 1).hits[0].metadata == {"n": 1}
    assert engine.add(["the wing"], ["a"], [{"n": 1}]).unchanged == 1
    assert engine.add(["the wing"], ["a"], [{"n": 2}]).updated == 1
    assert engine.delete(where={SOURCE_KEY: "one"}) == 1
    assert engine.add_records([Record("b", "flow heat", {"n": 1}, source="three")]).updated == 1
    assert engine.delete(where={SOURCE_KEY: "two"}) == 0
    with pytest.raises(InvalidInputError, match="source 0"):
        make_records(["text"], sources=[""])


@pytest.mark.parametrize("options", [{"k": 0}, {"k": 9, "candidates": 5}, {"temperature": -1.0}, {"k": 2.5}])
def test_options_are_refused_without_a_query_as_with_one(filled, options):
    with pytest.raises(InvalidInputError) as searched:
        filled.search("the wing", **options)
    with pytest.raises(InvalidInputError) as checked:
        filled.check_options(**options)
    assert str(checked.value) == str(searched.value)
    filled.check_options(3, candidates=5, temperature=0.0)


def test_embedding_documents_without_storing_them(filled):
    records = filled.get()[:3]
    stored = filled.vectors_by_id([r.id for r in records])
    expected = [stored[r.id] for r in records]
    np.testing.assert_allclose(filled.embed_documents([r.text for r in records]), expected, atol=1e-6)
    assert filled.embed_documents([]).shape == (0, filled.manifest.dimension)
