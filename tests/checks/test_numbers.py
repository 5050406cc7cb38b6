import math

import numpy as np
import pytest

from uec_retriever.checks.numbers import check_number, check_temperature, check_whole
from uec_retriever.errors import InvalidInputError

NO_NUMBERS = [
    None,
    "3",
    True,
    np.bool_(True),
    [1],
    np.array([1, 2]),
    {},
    1j,
    math.nan,
    np.float32("nan"),
    -1,
    -(10**5000),
]


@pytest.mark.parametrize("value", [1, 7, np.int64(3), np.uint8(3), 10**30])
def test_whole_numbers_come_back_as_those_of_python(value):
    assert type(check_whole("k", value, 1)) is int
    assert check_whole("k", value, 1) == value


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, 2.0, math.inf, np.float64(2)], ids=lambda v: str(type(v)))
def test_what_is_no_whole_number(value):
    with pytest.raises(InvalidInputError, match="k must be "):
        check_whole("k", value, 1)


@pytest.mark.parametrize("value", [0, 0.5, 3, np.float32(0.5), np.int64(2), math.inf, 2**1000])
def test_numbers_come_back_as_floats(value):
    assert type(check_temperature(value)) is float
    assert check_temperature(value) == value


@pytest.mark.parametrize("value", [*NO_NUMBERS, 10**400, 10**5000, -0.1], ids=lambda v: str(type(v)))
def test_what_is_no_number_in_the_range(value):
    with pytest.raises(InvalidInputError, match="temperature must be >= 0, got "):
        check_temperature(value)
    with pytest.raises(InvalidInputError, match=r"share must be in \[0, 1\], got "):
        check_number("share", value, "in [0, 1]", 0, 1)
