import math

import numpy as np
import pytest
import torch

from tests.engine.small import WORDS, answers, contents, load, numbered, numbered_record, pairs, sentences
from uec_retriever.data.records import Record
from uec_retriever.engine.add import CHUNK
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.results import AddReport
from uec_retriever.errors import IdConflictError, InvalidInputError, NumericalError

TEXTS = sorted(set(sentences(40, 1)))
QUERIES = sentences(6, 2, 5)


def test_adding_twice_changes_nothing_and_encodes_nothing(make, encoded):
    engine = make()
    metadatas = [{"n": i, "tags": ["a", "b"], "x": 0.1 * i, "y": [1.1 * i]} for i in range(len(TEXTS))]
    assert engine.add(TEXTS, metadatas=metadatas) == AddReport(added=len(TEXTS))
    before, found = contents(engine), answers(engine, QUERIES)
    texts = encoded(engine)
    for existing in ("replace", "refuse", "skip"):
        report = engine.add(TEXTS, metadatas=metadatas, existing=existing)
        assert report == AddReport(unchanged=len(TEXTS))
    assert texts == []
    assert contents(engine) == before
    assert answers(engine, QUERIES) == found


def test_only_new_texts_are_encoded(make, encoded):
    engine = make()
    engine.add(TEXTS[:30])
    texts = encoded(engine)
    assert engine.add(TEXTS) == AddReport(added=len(TEXTS) - 30, unchanged=30)
    assert sorted(texts) == sorted(TEXTS[30:] * 2)  # by two experts


def test_ids_of_content(make):
    engine = make("static")
    engine.add(["cat", "cat", "dog"], metadatas=[{"a": 1}, {"a": 2}, None])
    assert engine.count() == 3
    assert engine.add(["dog", "cat"]) == AddReport(added=1, unchanged=1)  # cat without metadata is new
    other = make("other", folder="elsewhere")
    other.add(["dog"])
    assert {r.id for r in other.get()} < {r.id for r in engine.get()}


def test_ids_are_kept(make):
    engine = make("static")
    ids = ["1", " a b ", "é🙂", "x" * 500, "a/b?c"]
    engine.add(TEXTS[:5], ids=ids)
    assert [r.id for r in engine.get(ids)] == ids
    assert {h.id for h in engine.search("cat", 5)} == set(ids)


def test_duplicates_in_one_call(make):
    engine = make("static")
    assert engine.add(["cat", "dog", "cat"], ids=["a", "b", "a"]) == AddReport(added=2)
    for texts, metadatas in ((["bird", "red"], None), (["bird", "bird"], [{"n": 1}, {"n": 2}])):
        with pytest.raises(IdConflictError, match="'x'.*make ids unique"):
            engine.add(["green", *texts], ids=["g", "x", "x"], metadatas=metadatas and [{}, *metadatas])
    assert set(contents(engine)) == {"a", "b"}


def test_duplicates_in_a_stream(make):
    engine = make("static")
    records = numbered(CHUNK + 10)
    repeated = [*records[:5], *records, *records[:3]]
    assert engine.add_records(repeated) == AddReport(added=CHUNK + 10)
    assert engine.count() == CHUNK + 10


@pytest.mark.parametrize(
    "text, metadata", [("bird", {"n": 1}), ("cat", {"n": 2}), ("cat", {}), ("cat", {"n": 1, "m": 1})]
)
def test_an_id_with_other_content_is_refused_or_skipped_on_request(make, encoded, text, metadata):
    engine = make("static")
    engine.add(["cat"], ids=["a"], metadatas=[{"n": 1}])
    texts = encoded(engine)
    given = {"texts": ["new", text], "ids": ["b", "a"], "metadatas": [None, metadata]}
    with pytest.raises(IdConflictError, match="'a'.*existing='replace'"):
        engine.add(**given, existing="refuse")
    assert texts == []
    assert contents(engine) == {"a": Record("a", "cat", {"n": 1})}
    assert engine.add(**given, existing="skip") == AddReport(added=1, skipped=1)
    assert texts == ["new"]
    assert contents(engine) == {"a": Record("a", "cat", {"n": 1}), "b": Record("b", "new")}


def test_what_was_replaced_is_named(make, caplog):
    engine = make("static")
    engine.add(["cat", "dog", "bird"], ids=["a", "b", "c"])
    with caplog.at_level("INFO", "uec_retriever"):
        report = engine.add(["red", "dog"], ids=["a", "b"], metadatas=[None, {"n": 1}])
    assert (report.updated, report.updated_ids) == (2, ("a", "b"))
    assert "2 texts replaced others of the same id, e.g. 'a', 'b'" in caplog.text


def test_the_former_name_of_the_rule_still_serves(make):
    engine = make("static")
    engine.add(["cat"], ids=["a"])
    with pytest.warns(DeprecationWarning, match="existing='refuse'"), pytest.raises(IdConflictError):
        engine.add(["dog"], ids=["a"], update=False)
    with pytest.warns(DeprecationWarning, match="leave it out to replace"):
        assert engine.add(["dog"], ids=["a"], update=True).updated == 1


@pytest.mark.parametrize("rule", ["update", None, True])
def test_another_rule_is_refused(make, rule):
    with pytest.raises(InvalidInputError, match="existing must be one of"):
        make("static").add(["cat"], existing=rule)


@pytest.mark.parametrize("existing", ["replace", "refuse", "skip"])
def test_one_id_for_two_texts_far_apart_in_a_stream_is_refused_by_every_rule(make, existing):
    records = numbered(CHUNK + 10)
    stream = [*records, Record(records[3].id, "another text")]
    with pytest.raises(IdConflictError, match=f"'{records[3].id}' is given twice"):
        make("static").add_records(stream, existing=existing)


def test_a_new_text_replaces_text_and_metadata_whole(make, encoded):
    engine, fresh = make(), make(folder="fresh")
    engine.add(
        TEXTS[:20], ids=[str(i) for i in range(20)], metadatas=[{"old": i, "both": 1} for i in range(20)]
    )
    texts = encoded(engine)
    ids, new = [str(i) for i in range(10, 25)], [{"both": 2, "new": "x"}] * 15
    report = engine.add(TEXTS[20:35], ids=ids, metadatas=new)
    assert report == AddReport(added=5, updated=10)
    assert sorted(texts) == sorted(TEXTS[20:35] * 2)
    fresh.add(
        TEXTS[:10], ids=[str(i) for i in range(10)], metadatas=[{"old": i, "both": 1} for i in range(10)]
    )
    fresh.add(TEXTS[20:35], ids=ids, metadatas=new)
    assert contents(engine) == contents(fresh)
    assert answers(engine, QUERIES) == answers(fresh, QUERIES)


def test_new_metadata_keep_the_vector_without_encoding(make, encoded):
    engine = make()
    engine.add(TEXTS, ids=[str(i) for i in range(len(TEXTS))], metadatas=[{"old": 1}] * len(TEXTS))
    found = answers(engine, QUERIES)
    texts = encoded(engine)
    report = engine.add(TEXTS[:3], ids=["0", "1", "2"], metadatas=[{"new": 1}, None, {"old": 1}])
    assert report == AddReport(updated=2, unchanged=1)
    assert texts == []
    assert [r.metadata for r in engine.get(["0", "1", "2"])] == [{"new": 1}, {}, {"old": 1}]
    assert answers(engine, QUERIES) == found


@pytest.fixture(scope="module")
def big(tmp_path_factory, models):
    """6000 texts: more than Chroma reads or deletes at once (5461)."""
    engine = Engine.create(
        tmp_path_factory.mktemp("big") / "index", load({"static": models["static"]}), pairs()
    )
    records = numbered(6000)
    engine.add([r.text for r in records], [r.id for r in records], [r.metadata for r in records])
    return engine


def test_thousands_at_once(big):
    records = numbered(6000)
    assert big.get([r.id for r in records]) == records
    assert contents(big) == {r.id: r for r in records}
    assert len(big.search("cat", 10)) == 10
    assert big.delete([r.id for r in numbered(6000, 6000)]) == 0


def test_thousands_are_found(big):
    for record in numbered(6000)[::997]:
        (hit,) = big.search(record.text, 1, candidates=50)
        assert sorted(hit.text.split()) == sorted(record.text.split())


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_any_number_of_texts(make, count):
    engine, done = make("static"), []
    assert engine.add_records(numbered(count), progress=done.append) == AddReport(added=count)
    assert contents(engine) == {r.id: r for r in numbered(count)}
    assert sum(done) == pytest.approx(count)


def test_progress_counts_every_text_once_whatever_becomes_of_it(make):
    engine, done = make(), []
    engine.add(TEXTS[:30])
    engine.add(TEXTS, progress=done.append, batch_size=4)
    assert sum(done) == pytest.approx(len(TEXTS))
    assert len(done) > 3


def test_a_stream_is_taken_as_it_is_stored(make):
    """Constant memory: the generator is never more than a chunk ahead of the index."""
    engine = make("static")

    def stream():
        for i in range(4 * CHUNK):
            assert engine.count() >= i - CHUNK
            yield numbered_record(i)

    assert engine.add_records(stream()).added == engine.count() == 4 * CHUNK


def test_a_stream_that_breaks_keeps_what_was_stored_and_goes_on(make):
    engine = make("static")

    def stream(until):
        yield from numbered(until)
        if until < 600:
            raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        engine.add_records(stream(300))
    assert engine.count() == CHUNK
    assert engine.add_records(stream(600)) == AddReport(added=600 - CHUNK, unchanged=CHUNK)


BAD = {
    "empty": ({"texts": ["fine", ""]}, "text 1 is empty"),
    "whitespace": ({"texts": ["fine", " \n\t"]}, "text 1 is empty or only whitespace"),
    "none": ({"texts": ["fine", None]}, "text 1 is NoneType"),
    "int": ({"texts": ["fine", 3]}, "text 1 is int"),
    "surrogate": ({"texts": ["fine", "a\ud800"]}, "text 1 has a lone surrogate at 1"),
    "nul": ({"texts": ["fine", "a\0"]}, "text 1 has a NUL"),
    "one string": ({"texts": "fine"}, "put it into a list"),
    "numpy": ({"texts": ["a", "b"], "metadatas": [{}, {"x": np.ones((1, 2))}]}, "no lists"),
    "none in a list": ({"texts": ["a"], "metadatas": [{"x": [None]}]}, "None cannot be stored in a list"),
    "nested": (
        {"texts": ["a", "b"], "metadatas": [{}, {"x": {"y": 1}}]},
        r"metadata of text 1 \('b'\), key 'x'.*json.dumps",
    ),
    "nan": ({"texts": ["a", "b"], "metadatas": [{}, {"x": math.nan}]}, "NaN"),
    "big int": ({"texts": ["a", "b"], "metadatas": [{}, {"x": 2**63}]}, "64 bits"),
    "reserved": ({"texts": ["a", "b"], "metadatas": [{}, {"uec:v": "x"}]}, "reserved"),
    "id int": ({"texts": ["a", "b"], "ids": ["a", 1]}, "id 1 is int"),
    "id empty": ({"texts": ["a", "b"], "ids": ["a", ""]}, "id 1 is empty"),
    "too few ids": ({"texts": ["a", "b"], "ids": ["a"]}, "2 texts but 1 ids"),
    "too many metadatas": ({"texts": ["a"], "metadatas": [{}, {}]}, "1 texts but 2 metadatas"),
}


@pytest.fixture(scope="module")
def empty(tmp_path_factory, models):
    return Engine.create(
        tmp_path_factory.mktemp("empty") / "index", load({"static": models["static"]}), pairs()
    )


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_anything_is_encoded_or_stored(empty, encoded, case):
    arguments, message = BAD[case]
    texts = encoded(empty)
    with pytest.raises(InvalidInputError, match=message):
        empty.add(**arguments)
    assert texts == []
    assert empty.count() == 0


def test_bad_input_after_many_good_texts_stores_nothing(empty):
    with pytest.raises(InvalidInputError, match=f"text {2 * CHUNK} is empty"):
        empty.add([*(r.text for r in numbered(2 * CHUNK)), " "])
    assert empty.count() == 0


def test_a_megabyte_text_is_cut_counted_and_kept_whole(make):
    engine = make("static", "bert")
    long = " ".join(WORDS * 5000)
    assert len(long) > 900_000
    report = engine.add(["cat", long, *TEXTS[:3]], ids=["a", "long", "b", "c", "d"])
    assert report == AddReport(added=5, truncated={"bert": 1})  # StaticEmbedding takes everything
    assert engine.get(["long"])[0].text == long
    assert len(engine.search("cat", 5)) == 5


def test_texts_in_any_script_go_in_and_come_out(make):
    engine = make("static", "bert")
    texts = ["漢字かな交じり文", "مرحبا", "🙂🙃", "e\u0301", "line\r\nbreak\ttab", "\u200b zero width", "cat"]
    engine.add(texts)
    assert {h.text for h in engine.search("cat", 10)} == set(texts)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_a_model_that_fails_on_a_text(tmp_path, models, value):
    """A real model whose weights make one word's embedding NaN, infinite or zero."""
    (expert,) = load({"static": models["static"]})
    engine = Engine.create(tmp_path / "index", [expert], pairs())
    word = expert.model.tokenizer.encode("cat").ids[0]
    with torch.no_grad():
        expert.model[0].embedding.weight[word] = value
    good = numbered(CHUNK)
    texts = [t for r in numbered(100, CHUNK) if "cat" not in (t := r.text).split()]
    good = [r for r in good if "cat" not in r.text.split()]
    good += [Record(f"extra{i}", "dog", {}) for i in range(CHUNK - len(good))]
    bad = [*(Record(f"b{i}", t, {}) for i, t in enumerate(texts)), Record("poison", "cat", {})]
    with pytest.raises(NumericalError, match="static.*zero, NaN or infinite"):
        engine.add_records([*good, *bad])
    assert set(contents(engine)) == {r.id for r in good}
    assert engine.add_records([*good, *bad[:-1]]).added == len(bad) - 1
    with pytest.raises(NumericalError):
        engine.search("cat")


def test_a_failing_model_leaves_the_chunk_as_it_was(tmp_path, models):
    """Metadata updates of a chunk wait for its encodings."""
    (expert,) = load({"static": models["static"]})
    engine = Engine.create(tmp_path / "index", [expert], pairs())
    engine.add(["dog"], ids=["a"], metadatas=[{"n": 1}])
    with torch.no_grad():
        expert.model[0].embedding.weight[expert.model.tokenizer.encode("cat").ids[0]] = math.nan
    with pytest.raises(NumericalError):
        engine.add(["dog", "cat"], ids=["a", "b"], metadatas=[{"n": 2}, {}])
    assert contents(engine) == {"a": Record("a", "dog", {"n": 1})}


def test_delete(make):
    engine = make("static")
    engine.add_records(numbered(20))
    assert engine.delete(["000001", "000003", "unknown"]) == 2
    assert engine.delete(["000001"]) == 0
    assert engine.delete([]) == 0
    assert engine.delete(where={"n": {"$gte": 10}}) == 10
    assert engine.delete(where={"n": 999}) == 0
    left = {f"{i:06}" for i in (0, 2, 4, 5, 6, 7, 8, 9)}
    assert set(contents(engine)) == left
    assert {h.id for h in engine.search("cat", 20)} == left
    for arguments in ({}, {"ids": ["000002"], "where": {"n": 2}}, {"where": {}}):
        with pytest.raises(InvalidInputError, match="filter"):
            engine.delete(**arguments)
    with pytest.raises(InvalidInputError, match=r"\$near"):
        engine.delete(where={"n": {"$near": 1}})
    assert set(contents(engine)) == left
    assert engine.add_records(numbered(20)) == AddReport(added=12, unchanged=8)
