"""Types of CSV columns as a person would tell them, and as they are given."""

import datetime
import decimal

import numpy as np
import pytest

from uec_retriever.data.corpus import Corpus
from uec_retriever.data.moments import iso
from uec_retriever.data.records import check_metadata
from uec_retriever.data.types import ColumnTypes, check_types, flat, typed
from uec_retriever.errors import CorpusError, InvalidInputError


def found(*values):
    column = ColumnTypes({})
    for value in values:
        column.see({"c": value})
    return column.found.get("c", "str")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-20", "0", "2015"], "int"),
        ([" 1 ", "", "2"], "int"),
        (["1", "2.5", "-0.25"], "float"),
        (["1.0", "2.0"], "float"),
        (["2.50", "3.99", "10.00"], "float"),  # prices
        (["1.0", "2.25", "-3.125", "7"], "float"),  # as programs write them
        (["0.1234567890123456789", "0.5"], "float"),  # a measurement
        (["1.10", "1.9", "2.0"], "str"),  # versions
        (["1.9", "1.10"], "str"),
        (["3", "3.10"], "str"),
        (["1.5e400", "1.0"], "str"),  # infinite as a float
        (["1.5e-7"], "float"),
        (["true", "FALSE"], "bool"),
        (["2020-01-31", "1999-12-01"], "date"),
        (["2020-01-31T10:00", "2020-02-01 10:00:05Z", "2020-02-01"], "date"),
        (["007", "12"], "str"),
        (["7", "007"], "str"),
        (["4929123412341234"], "str"),  # a credit card's, and so long that a float would lose digits
        (["+491701234"], "str"),
        (["12e5"], "str"),
        (["1", "true"], "str"),
        (["1", "n/a"], "str"),
        (["2020-02-31"], "str"),
        (["31.12.2020"], "str"),
        (["1,5"], "str"),
        (["nan"], "str"),
        (["yes", "no"], "str"),
        (["٣"], "str"),
        (["", "  "], "str"),
    ],
)
def test_a_column_is_what_all_its_values_are(values, kind):
    assert found(*values) == kind


def test_columns_are_typed_and_told(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text(
        "_id,title,text,year,price,open,since,zip,mixed\n"
        "1,2001,12,2015,1.5,true,2020-01-31,01234,1\n"
        "2,1,13,2016,2,false,2020-02-01T12:00:00+02:00,12345,x\n"
    )
    corpus = Corpus(path)
    first, second = (d.record for d in corpus)
    assert (first.id, first.text, first.metadata["title"]) == ("1", "2001 12", "2001")
    assert first.metadata == {
        "title": "2001", "year": 2015, "price": 1.5, "open": True, "since": "2020-01-31", "zip": "01234", "mixed": "1",
    }  # fmt: skip
    kinds = {"year": int, "price": float, "open": bool, "since": str, "zip": str, "mixed": str, "title": str}
    assert {key: type(value) for key, value in second.metadata.items()} == kinds
    assert second.metadata["since"] == "2020-02-01T10:00:00+00:00"
    assert corpus.found_types == {"year": "int", "price": "float", "open": "bool", "since": "date"}


def test_types_can_be_given(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("text,year,zip,day,n\na,2015,01234,2020-01-31,1\nb,n/a,5,,x\n")
    corpus = Corpus(path, types={"year": "int", "zip": "int", "day": "day", "n": "str"})
    assert [d.record.metadata for d in corpus] == [
        {"year": 2015, "zip": 1234, "day": 20200131, "n": "1"},
        {"zip": 5, "n": "x"},
    ]
    with pytest.raises(CorpusError, match="line 3: .*'n' is 'x', which is no int.*--types n=str"):
        list(Corpus(path, types={"n": "int"}))
    with pytest.raises(CorpusError, match=r"'yaer', only .*--types"):
        list(Corpus(path, types={"yaer": "int"}))
    with pytest.raises(InvalidInputError, match="no type 'integer', for 'n': use one of str, int"):
        check_types({"n": "integer"})


def test_given_types_hold_for_json_too(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text('{"text": "a", "year": "2015", "by": {"born": "1970-05-01"}, "seen": ["1", "2"]}\n')
    corpus = Corpus(path, types={"year": "int", "by.born": "day", "seen": "float"})
    assert [d.record.metadata for d in corpus] == [{"year": 2015, "by.born": 19700501, "seen": [1.0, 2.0]}]


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_csv_of_any_spreadsheet_is_read(tmp_path, separator, encoding):
    path = tmp_path / "c.csv"
    rows = [["id", "text", "year"], ["1", '"Flügel, größer; mehr | so"', "2015"], ["2", "Auftrieb", "2016"]]
    path.write_bytes("\r\n".join(separator.join(row) for row in rows).encode(encoding))
    assert [(d.record.id, d.record.text, d.record.metadata) for d in Corpus(path)] == [
        ("1", "Flügel, größer; mehr | so", {"year": 2015}),
        ("2", "Auftrieb", {"year": 2016}),
    ]


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("3.0", "int", 3),
        (7, "str", "7"),
        ("yes", "bool", True),
        ("NULL", "float", None),
        ("2020-01-31T23:00:00-05:00", "date", "2020-02-01T04:00:00+00:00"),
        ("2020-01-31T23:00:00-05:00", "day", 20200201),
    ],
)
def test_values_of_given_types(value, kind, expected):
    assert typed("k", value, kind) == expected


@pytest.mark.parametrize(
    ("value", "kind"), [("3.5", "int"), ("maybe", "bool"), ("soon", "date"), ("1e999", "int")]
)
def test_values_of_another_type_are_refused(value, kind):
    with pytest.raises(ValueError, match=f"'k' is '{value}', which is no {kind}"):
        typed("k", value, kind)


def test_the_order_of_dates_is_that_of_time():
    moments = [
        "2019-12-31", "2020-01-01", "2020-01-01T00:30:00+00:00", "2020-01-01T03:00:00+02:00", "2020-01-01T01:00:00.000001Z",
        "2020-01-01T01:00:00.5Z", "2020-01-01T02:00:01+01:00", "2020-01-01T01:00:01.25Z", "2020-01-01T01:01Z",
    ]  # fmt: skip
    assert sorted(map(iso, moments)) == list(map(iso, moments))


@pytest.mark.parametrize(
    "moment",
    [
        datetime.date(2024, 1, 31),
        datetime.datetime(2024, 1, 31, 10),
        datetime.datetime(2024, 1, 31, 10, 0, 0, 500_000, tzinfo=datetime.UTC),
        datetime.datetime(2024, 1, 31, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
        datetime.datetime.min.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
    ],
    ids=str,
)
def test_a_moment_is_one_string_wherever_it_comes_from(moment):
    ways = [
        iso(moment),
        iso(moment.isoformat()),
        typed("k", moment.isoformat(), "date"),
        flat({"k": moment})["k"],
        check_metadata({"k": moment}, "it")["k"],
        check_metadata({"k": [moment]}, "it")["k"][0],
    ]
    if getattr(moment, "tzinfo", None) is None:
        unit = "us" if isinstance(moment, datetime.datetime) else "D"
        ways.append(check_metadata({"k": np.datetime64(moment, unit)}, "it")["k"])
    assert len(set(ways)) == 1


def test_objects_become_dotted_keys():
    nested = {
        "a": {"b": 1, "c": {"d": "x"}}, "none": None, "empty": [], "in": {"none": None},
        "mixed": [1, 2.5], "when": datetime.date(2020, 1, 31), "price": decimal.Decimal("1.5"),
    }  # fmt: skip
    assert flat(nested) == {"a.b": 1, "a.c.d": "x", "mixed": [1.0, 2.5], "when": "2020-01-31", "price": 1.5}


def test_objects_that_would_explode_are_refused():
    bomb = {"x": 1}
    for _ in range(15):
        bomb = {"a": bomb, "b": bomb}
    with pytest.raises(ValueError, match="more than 1000 keys"):
        flat(bomb)
    deep = {"x": 1}
    for _ in range(50):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="too deep"):
        flat(deep)
    with pytest.raises(ValueError, match="'a.b' is given twice"):
        flat({"a": {"b": 1}, "a.b": 2})
