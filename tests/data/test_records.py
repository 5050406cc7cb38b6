import math
import re
from datetime import UTC, date, datetime, time, timedelta, timezone

import numpy as np
import pytest

from uec_retriever.data.records import (
    Record,
    check_ids,
    check_metadata,
    content_id,
    make_records,
    same_content,
    unique,
)
from uec_retriever.data.seen import SeenIds
from uec_retriever.errors import IdConflictError, InvalidInputError, show

GOOD_VALUES = ["", " ", "é 🙂\n", 0, -(2**63), 2**63 - 1, 0.5, -0.0, True, ["a", ""], [1, 2], [0.5], [True]]
BAD_VALUES = [
    ({"a": 1}, "json.dumps"),
    (("a", "b"), "use str, int, float, bool, a date or a list"),
    (b"x", "use str"),
    (math.nan, "NaN"),
    (math.inf, "infinity"),
    (2**63, "more than 64 bits"),
    (-(2**63) - 1, "more than 64 bits"),
    ("\ud800", "lone surrogate"),
    ("a\0", "NUL"),
    (" \0", "NUL"),
    (np.float32("nan"), "NaN"),
    (timedelta(1), "timedelta cannot be stored"),
    (np.array([[1]]), "no lists"),
    ([np.int64(1), np.float32(1)], "one type"),
    (10**5000, "more than 64 bits"),
    ([1, "a"], "one type"),
    ([1, True], "one type"),
    ([[1]], "one type"),
    ([None], "leave it out"),
    ([math.nan], "NaN"),
    ([2**63], "more than 64 bits"),
    (["\ud800"], "lone surrogate"),
    ([{"a": 1}], "json.dumps"),
]
BAD_KEYS = [
    ("", "non-empty"),
    (1, "non-empty strings"),
    (None, "non-empty strings"),
    ("uec:v", "reserved"),
    ("chroma:document", "reserved"),
    ("#hash", "begin with '#' or '$'"),
    ("$and", "begin with '#' or '$'"),
    ("a\ud800", "lone surrogate"),
    ("a\0", "NUL"),
]


@pytest.mark.parametrize("value", GOOD_VALUES, ids=repr)
def test_good_values_pass_unchanged(value):
    checked = check_metadata({"key": value}, "it")
    assert checked == {"key": value}
    assert type(checked["key"]) is type(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(1), 1),
        (np.uint8(1), 1),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array(1), 1),
        (np.array("a"), "a"),
        (np.array([1, 2]), [1, 2]),
        ([np.int64(1), 2], [1, 2]),
    ],
    ids=repr,
)
def test_values_of_numpy_become_those_of_python(value, plain):
    found = check_metadata({"key": value}, "it")["key"]
    assert (found, type(found)) == (plain, type(plain))
    assert make_records(["t"], metadatas=[{"key": value}]) == make_records(["t"], metadatas=[{"key": plain}])


@pytest.mark.parametrize(("value", "fix"), BAD_VALUES, ids=lambda x: ascii(show(x))[:20])
def test_bad_values_are_refused_with_position_key_and_fix(value, fix):
    for ids, whose in ((["a", "d7"], "'d7'"), (None, r"text 1 \('two'\)")):
        with pytest.raises(InvalidInputError, match=f"metadata of {whose}, key 'colour'") as caught:
            make_records(["one", "two"], ids, [None, {"fine": 1, "colour": value}])
        assert fix in str(caught.value)


@pytest.mark.parametrize("value", [None, [], np.array([]), np.array(None), np.datetime64("NaT")], ids=repr)
def test_what_says_nothing_is_left_out(value):
    assert check_metadata({"fine": 1, "colour": value}, "it") == {"fine": 1}
    assert make_records(["t"], metadatas=[{"colour": value}]) == make_records(["t"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (date(2024, 2, 29), "2024-02-29"),
        (datetime(2024, 2, 29, 12, 30), "2024-02-29T12:30:00"),
        (datetime(2024, 2, 29, tzinfo=UTC), "2024-02-29T00:00:00+00:00"),
        (datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=2))), "2024-02-28T22:00:00+00:00"),
        (time(12, 30), "12:30:00"),
        (np.datetime64("2024"), "2024"),
        (np.datetime64("2024-02-29T12", "h"), "2024-02-29T12:00:00"),
        (np.datetime64("2024-02-29T12:30:00.123456789"), "2024-02-29T12:30:00.123456789"),
        (np.datetime64(10**15, "s"), "31690708-07-05T01:46:40"),
        (np.datetime64("2024-02-29"), "2024-02-29"),
        (np.datetime64("2024-02-29T12:30", "ns"), "2024-02-29T12:30:00"),
        ([date(2024, 2, 29), date(2025, 1, 1)], ["2024-02-29", "2025-01-01"]),
        (np.array(["2024-02-29"], dtype="datetime64[D]"), ["2024-02-29"]),
    ],
    ids=repr,
)
def test_dates_become_iso_strings(value, text):
    assert check_metadata({"day": value}, "it") == {"day": text}


@pytest.mark.parametrize(("key", "fix"), BAD_KEYS, ids=lambda x: ascii(x)[:20])
def test_bad_keys_are_refused(key, fix):
    with pytest.raises(InvalidInputError, match=re.escape(fix)):
        check_metadata({key: 1}, "it")


def test_metadata_is_a_dictionary_or_nothing():
    assert check_metadata(None, "it") == {}
    with pytest.raises(InvalidInputError, match="metadata of 'x' is list, not a dictionary"):
        check_metadata([("a", 1)], "'x'")


def test_metadata_is_copied():
    mine = {"a": 1}
    (record,) = make_records(["text"], metadatas=[mine])
    mine["a"] = 2
    assert record.metadata == {"a": 1}


@pytest.mark.parametrize("bad", ["", " \t\n", None, 3, b"x", "a\0b", "\ud800"], ids=ascii)
def test_bad_texts_and_ids_are_refused_with_their_position(bad):
    with pytest.raises(InvalidInputError, match="text 1 "):
        make_records(["fine", bad])
    if bad is not None:  # which asks for one of the content
        with pytest.raises(InvalidInputError, match="id 1 "):
            make_records(["one", "two"], ids=["fine", bad])


def test_ids_that_are_absent_are_made_of_the_content():
    assert make_records(["one", "two"], ["mine", None]) == [Record("mine", "one"), *make_records(["two"])]


def test_a_single_text_is_not_taken_for_its_characters():
    with pytest.raises(InvalidInputError, match="put it into a list"):
        make_records("text")


@pytest.mark.parametrize("texts", [None, 3, 2.5, np.array(2), np.array("a")])
def test_what_is_no_list_of_texts(texts):
    with pytest.raises(InvalidInputError, match="expected a list of texts, got "):
        make_records(texts)


@pytest.mark.parametrize("what", ["ids", "metadatas", "embedded", "payloads", "sources"])
@pytest.mark.parametrize("given", ["ab", {"a": 1, "b": 2}, 3, np.array(2)])
def test_what_is_no_list_of_one_for_each_text(what, given):
    with pytest.raises(InvalidInputError, match="expected a list of .*, one for each text, got "):
        make_records(["a", "b"], **{what: given})


def test_any_iterable_will_do():
    assert make_records(iter("ab"), ids=iter("12"), metadatas=({"n": i} for i in "xy")) == [
        Record("1", "a", {"n": "x"}),
        Record("2", "b", {"n": "y"}),
    ]


@pytest.mark.parametrize("payload", [3, "\ud800", ["x"]])
def test_payloads_are_strings(payload):
    with pytest.raises(InvalidInputError, match="the payload of 'x' "):
        make_records(["a"], ["x"], payloads=[payload])


def test_ids_to_look_for():
    assert check_ids(iter(["a", np.str_("b")])) == ["a", "b"]
    for bad in (None, 3, {"a": 1}, b"ab", np.array("a")):
        with pytest.raises(InvalidInputError, match="expected a list of ids, got "):
            check_ids(bad)
    with pytest.raises(InvalidInputError, match="put it into a list"):
        check_ids("ab")
    for bad in (["b"], 3, None, 2.5, "", "\ud800", ("a",)):
        with pytest.raises(InvalidInputError, match="id 1 "):
            check_ids(["a", bad])


@pytest.mark.parametrize("what", ["ids", "metadatas"])
def test_lengths_must_agree(what):
    with pytest.raises(InvalidInputError, match=f"2 texts but 1 {what}"):
        make_records(["a", "b"], **{what: [{}] if what == "metadatas" else ["a"]})


def test_records_given_twice_count_once_and_order_is_kept():
    records = make_records(["b", "a", "b"], ids=["2", "1", "2"])
    assert records == [Record("2", "b", {}), Record("1", "a", {})]


def test_records_that_come_again_in_a_stream():
    stream, first = SeenIds(), Record("x", "a", {"n": 1, "m": 2})
    assert stream.new([first, first]) == [first]
    assert stream.new([Record("y", "a"), Record("x", "a", {"m": 2, "n": 1})]) == [Record("y", "a")]
    for other in (
        Record("x", "b", first.metadata),
        Record("x", "a", {"n": 1}),
        Record("y", "a", embedded="b"),
    ):
        with pytest.raises(IdConflictError, match=f"'{other.id}'.*make ids unique"):
            stream.new([other])


@pytest.mark.parametrize(
    "second",
    [("b", {"n": 1}), ("a", {"n": 2}), ("a", {}), ("a", {"m": 1}), ("a", {"n": 1.0}), ("a", {"n": True})],
)
def test_one_id_for_two_records_is_a_conflict(second):
    text, metadata = second
    with pytest.raises(IdConflictError, match="'x'.*make ids unique"):
        make_records(["a", text], ids=["x", "x"], metadatas=[{"n": 1}, metadata])


def test_content_ids_depend_on_text_and_metadata_only():
    a, b, c, d = make_records(["t", "u", "t", "t"], metadatas=[{"x": 1, "y": 2}, None, {"x": 1}, None])
    assert len({a.id, b.id, c.id, d.id}) == 4
    assert a.id == content_id("t", {"y": 2, "x": 1})
    assert all(len(r.id) == 32 and set(r.id) <= set("0123456789abcdef") for r in (a, b, c, d))


def test_content_ids_are_pinned():
    assert content_id("text", {}) == "8489fd655aa3b7fd4160e3967b8be8a9"  # or indexes would fill up twice


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (0.1 + 0.2, 0.3, True),  # Chroma loses the last bit of every fifth float
        ([1.9000000000000001], [1.9], True),
        (0.3, 0.3001, False),
        (-0.0, 0.0, True),
        (1, 1.0, False),
        (1, True, False),
        ([1], [1.0], False),
        ([1], [1, 1], False),
        (["a", "b"], ["b", "a"], False),
        ("a", "a", True),
    ],
)
def test_same_content(one, other, same):
    assert same_content(Record("a", "t", {"x": one}), Record("a", "t", {"x": other})) is same
    assert not same_content(Record("a", "t", {"x": one}), Record("a", "u", {"x": one}))
    assert not same_content(Record("a", "t", {"x": one}), Record("a", "t", {"x": one, "y": 1}))
    assert not same_content(Record("a", "t", {"x": one}), Record("a", "t", {"y": one}))


@pytest.mark.parametrize(
    ("identifier", "hint"),
    [
        ("doc#0003", True),
        ("a#b#12345", True),
        ("doc#003", False),
        ("#0003", False),
        ("1234", False),
        ("doc#x003", False),
    ],
)
def test_an_id_that_a_piece_has_too_names_the_splitting(identifier, hint):
    whole = Record(identifier, "a"), Record(identifier, "b")
    stream = SeenIds()
    stream.new(whole[:1])
    for given in (lambda: unique(whole), lambda: stream.new(whole[1:])):
        with pytest.raises(IdConflictError, match="given twice") as raised:
            given()
        assert ("--no-split" in str(raised.value)) is hint
