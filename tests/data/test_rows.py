from dataclasses import dataclass
from typing import Literal

import pytest

from uec_retriever.data.rows import check_row
from uec_retriever.errors import InvalidInputError


@dataclass(frozen=True)
class Row:
    name: str
    share: float
    grade: int | float | None
    kind: Literal["a", "b"]
    whole: bool = False


FINE = {"name": "x", "share": 1, "grade": 2, "kind": "a"}


def test_values_pass_and_whole_numbers_become_floats_where_only_floats_are_meant():
    found = check_row(Row, {**FINE, "whole": True})
    assert found == {**FINE, "whole": True}
    assert (type(found["share"]), type(found["grade"])) == (float, int)
    assert Row(**check_row(Row, {**FINE, "grade": None})) == Row("x", 1.0, None, "a")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": None}, "'name' is NoneType, not str"),
        ({"share": "1"}, "'share' is str, not float"),
        ({"share": True}, "'share' is bool, not float"),
        ({"share": float("inf")}, "'share' is inf, not a finite number"),
        ({"grade": "1"}, "'grade' is str, not int or float or NoneType"),
        ({"kind": "c"}, "'kind' is 'c', not one of \\['a', 'b'\\]"),
        ({"kind": 1}, "'kind' is int, not str"),
        ({"whole": 1}, "'whole' is int, not bool"),
        ({"more": 1}, "has unknown \\['more'\\]"),
    ],
)
def test_what_does_not_fit_is_named(change, words):
    with pytest.raises(InvalidInputError, match=words):
        check_row(Row, {**FINE, **change})


def test_missing_fields_are_named():
    with pytest.raises(InvalidInputError, match=r"lacks \['grade', 'kind'\] and has unknown \['x'\]"):
        check_row(Row, {"name": "x", "share": 1.0, "x": 1})
