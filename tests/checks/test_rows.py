from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from pydantic import Field

from uec_retriever.checks.rows import FINITE_ROW, ROW, RowError, read_row


@dataclass(frozen=True)
class Row:
    __pydantic_config__ = FINITE_ROW

    name: str
    share: float
    grade: int | float | None
    kind: Literal["a", "b"]
    whole: bool = False
    count: Annotated[int, Field(ge=1)] = 1


@dataclass(frozen=True)
class Rows:
    __pydantic_config__ = ROW

    rows: tuple[Row, ...]
    limit: float = 1.0


FINE = {"name": "x", "share": 1, "grade": 2, "kind": "a"}


def test_values_pass_and_whole_numbers_become_floats_where_only_floats_are_meant():
    found = read_row(Row, {**FINE, "whole": True})
    assert found == Row("x", 1.0, 2, "a", True)
    assert (type(found.share), type(found.grade)) == (float, int)
    assert read_row(Row, {**FINE, "grade": None}) == Row("x", 1.0, None, "a")


def test_rows_within_rows():
    assert read_row(Rows, {"rows": [FINE], "limit": float("inf")}) == Rows(
        (Row("x", 1.0, 2, "a"),), float("inf")
    )
    with pytest.raises(RowError, match=r"'rows\.0\.share' is '1'"):
        read_row(Rows, {"rows": [{**FINE, "share": "1"}]})
    with pytest.raises(RowError, match=r"has unknown \['rows\.0\.more'\]") as caught:
        read_row(Rows, {"rows": [{**FINE, "more": 1}]})
    assert caught.value.newer


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": None}, "'name' is None: .*string"),
        ({"share": "1"}, "'share' is '1': .*number"),
        ({"share": True}, "'share' is True: .*number"),
        ({"share": float("inf")}, "'share' is inf: .*finite"),
        ({"share": float("nan")}, "'share' is nan: .*finite"),
        ({"share": 10**400}, "'share' is 1000.*(finite|valid number)"),
        ({"grade": "1"}, "'grade' is '1': "),
        ({"kind": "c"}, "'kind' is 'c': .*'a' or 'b'"),
        ({"kind": 1}, "'kind' is 1: "),
        ({"whole": 1}, "'whole' is 1: .*boolean"),
        ({"count": 0}, "'count' is 0: .*greater than or equal to 1"),
        ({"more": 1}, "has unknown \\['more'\\]"),
        ({"name": "\ud800"}, "lone surrogate"),
        ({"name": {1, 2}}, "no values of JSON"),
    ],
)
def test_what_does_not_fit_is_named(change, words):
    with pytest.raises(RowError, match=words) as caught:
        read_row(Row, {**FINE, **change})
    assert caught.value.newer == ("more" in change)


@pytest.mark.parametrize("row", [None, [], "x", 1])
def test_what_is_no_object(row):
    with pytest.raises(RowError, match="Input should be an object"):
        read_row(Row, row)


def test_missing_fields_are_named():
    with pytest.raises(RowError, match=r"lacks \['grade', 'kind'\] and has unknown \['x'\]") as caught:
        read_row(Row, {"name": "x", "share": 1.0, "x": 1})
    assert not caught.value.newer
