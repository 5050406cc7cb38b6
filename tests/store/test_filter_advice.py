"""A filter that finds nothing because of a key or a type says so; one that just finds nothing does not."""

import logging

import numpy as np
import pytest

from tests.engine.small import load, numbered, pairs, static_model
from uec_retriever import Engine, Record
from uec_retriever.errors import InvalidInputError
from uec_retriever.store.filter_advice import advice
from uec_retriever.store.filters import chroma_where

STORED = [
    {"year": "2015", "n": 3, "open": True, "tags": ["a", "b"], "price": 1.5},
    {"year": "2016", "n": 4, "lang": "en", "date": "2024-01-31", "seen": "2024-01-31T10:00:00Z"},
]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"year": {"$gte": 2015}}, ["'year' with 2015, a number", "it is text, such as '2015'", "--types year=int"]),
        ({"year": {"$lt": 2015.5}}, ["--types year=float"]),
        ({"date": {"$gte": 20240101}}, ["--types date=day and give 20240131"]),
        ({"date": 2024}, ["--types date=day and give 20240131"]),
        ({"seen": {"$lt": 2025}}, ["--types seen=day and give 20240131"]),
        ({"lang": {"$lt": 2025}}, ["such as 'en': text has no order here"]),
        ({"year": 2015.5}, ["--types year=float"]),
        ({"year": True}, ["--types year=bool"]),
        ({"n": "3"}, ["'n' with '3', text", "it is a number, such as 3", "give a value of that kind"]),
        ({"n": {"$in": ["3", "4"]}}, ["it is a number"]),
        ({"n": True}, ["a boolean, and in the index it is a number"]),
        ({"open": 1}, ["it is a boolean"]),
        ({"tags": {"$contains": 1}}, ["it is text, such as 'a'"]),
        ({"yaer": 2015}, ["no text has metadata 'yaer', only ['date', 'lang', 'n', 'open', 'price', 'seen', 'tags', 'year']"]),
        ({"$or": [{"yaer": 1}, {"n": "3"}]}, ["no text has metadata 'yaer'"]),
        ({"n": {"$in": ["3", True]}}, ["it is a number"]),
        ({"$or": [{"n": 3}, {"year": "1"}], "yaer": 1}, ["'yaer'"]),
        ({"$and": [{"n": 3}, {"$or": [{"year": 1}, {"n": "2"}]}]}, ["'year' with 1"]),
    ],
)  # fmt: skip
def test_what_is_odd_about_a_filter(where, words):
    told = advice(where, STORED, True)
    assert told is not None
    for word in words:
        assert word in told


@pytest.mark.parametrize(
    "where",
    [
        {"year": "1999"}, {"n": 9}, {"n": 3.0}, {"price": {"$gt": 9}}, {"n": {"$ne": "x"}}, {"yaer": {"$nin": [1]}},
        {"tags": {"$contains": "c"}}, {"n": np.int64(9)}, {"open": np.bool_(False)}, {"uec:s": "doc"}, {},
        {"$or": [{"yaer": 1}, {"n": 9}]}, {"$and": [{"n": 3}, {"$or": [{"year": 1}, {"n": 2}]}]}, {"n": {"$in": ["3", 9]}},
        {"$or": [{"yaer": 1}, {"$and": [{"n": 9}, {"lang": "fr"}]}]}, {"$or": [{"yaer": 1}, {"uec:s": "doc"}]},
    ],
)  # fmt: skip
def test_a_filter_that_only_finds_nothing(where):
    assert advice(where, STORED, True) is None


def test_a_sample_speaks_for_itself_only():
    assert advice({"yaer": 1}, STORED, False).startswith("none of the first 2 texts has metadata 'yaer'")
    assert advice({"year": 1}, [], True) is None


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"year": {"$gte": "2015"}}, "takes a number, got '2015': leave out the quotes"),
        ({"since": {"$lt": "2015-01-31"}}, "--types since=day and give 20150131"),
        (
            {"since": {"$gt": "2024"}},
            "quotes; if the values are dates, .* --types since=day and give 20240101",
        ),
        ({"since": {"$gt": "2024-5"}}, "if the values are dates, .* --types since=day and give 20240501"),
        ({"name": {"$lt": "x"}}, "takes a number, got 'x'"),
    ],
)
def test_text_has_no_order(where, words):
    with pytest.raises(InvalidInputError, match=words):
        chroma_where(where)


@pytest.mark.parametrize(
    "where", [{"year": {"$gte": 2015}}, {"date": {"$gte": 20240101}}, {"lang": {"$lt": 1}}]
)
def test_advice_does_not_lead_to_what_is_refused(where):
    """A range of text is: so nobody is told to put its number in quotes."""
    assert "in quotes" not in str(advice(where, STORED, True))


def test_a_search_that_finds_nothing_says_why(tmp_path, caplog):
    expert = static_model(tmp_path / "model", 0)
    with Engine.create(tmp_path / "index", load({"a": expert}), pairs()) as engine:
        engine.add_records([Record(r.id, r.text, {"year": str(2000 + i)}) for i, r in enumerate(numbered(5))])
        with caplog.at_level(logging.WARNING):
            assert engine.search("wing", where={"year": {"$gte": 2000}}).hits == []
            assert engine.search("wing", where={"year": "1990"}).hits == []
            assert len(engine.search("wing", where={"year": "2001"}).hits) == 1
        [record] = caplog.records
    assert "the filter matches nothing: the filter compares 'year' with 2000, a number" in record.getMessage()


@pytest.mark.parametrize(
    "where", [{"uec:s": "doc"}, {"n": {"$ne": 1}}, {"$or": [{"uec:s": "a"}, {"n": {"$nin": [2]}}]}]
)
def test_nothing_is_read_for_a_filter_that_cannot_be_odd(tmp_path, monkeypatch, where):
    monkeypatch.setattr("uec_retriever.store.reader.advice", None)
    expert = static_model(tmp_path / "model", 0)
    with Engine.create(tmp_path / "index", load({"a": expert}), pairs()) as engine:
        engine.add_records([Record("a", "wing", {"n": 1})])
        assert engine.store.explain_nothing(where) is None
        with pytest.raises(TypeError):
            engine.store.explain_nothing({"n": 3})
