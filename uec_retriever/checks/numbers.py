"""What counts as a number among options: one place that every entry point checks with."""

from __future__ import annotations

import math
import sys

import numpy as np
from numpy.typing import NDArray

from uec_retriever.errors import InvalidInputError, show

ABOVE_0, BELOW_1, FINITE = (
    math.nextafter(0, 1),
    math.nextafter(1, 0),
    sys.float_info.max,
)  # ends of open ranges


def check_whole(name: str, value: object, least: int) -> int:
    """A whole number, also one of NumPy, as Python's.

    Args:
        name: how to call it in messages.
        value: what was given.
        least: the smallest that it may be.

    Raises:
        InvalidInputError: for anything else, such as a boolean, a string or a fraction.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InvalidInputError(f"{name} must be a whole number of at least {least}, got {show(value)}")
    if value < least:
        raise InvalidInputError(f"{name} must be at least {least}, got {show(value)}")
    return int(value)


def check_number(name: str, value: object, wanted: str, low: float, high: float = math.inf) -> float:
    """A number in [low, high], also one of NumPy, as a `float`.

    Args:
        name: how to call it in messages.
        value: what was given.
        wanted: the range in words, such as `>= 0`.
        low: the smallest that it may be.
        high: the largest that it may be; infinity is one if this is infinite.

    Raises:
        InvalidInputError: for anything else, such as a boolean, a string, NaN or an integer beyond all floats.
    """
    if not isinstance(value, bool) and isinstance(value, int | float | np.integer | np.floating):
        try:
            number = float(value)
        except OverflowError:
            number = math.nan
        if low <= number <= high:
            return number
    raise InvalidInputError(f"{name} must be {wanted}, got {show(value)}")


def check_temperature(temperature: object) -> float:
    """T as a `float`; raises InvalidInputError for one that is no number >= 0."""
    return check_number("temperature", temperature, ">= 0", 0)


def check_row(name: str, value: object) -> NDArray[np.float64]:
    """A row of numbers, of any length, NaN and infinity among them.

    Args:
        name: how to call it in messages.
        value: what was given.

    Returns:
        `[n]`.

    Raises:
        InvalidInputError: for anything else.
    """
    try:
        with np.errstate(over="ignore"):
            row = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInputError(f"{name} is no list of numbers, but {show(value)}") from error
    if row.ndim != 1:
        raise InvalidInputError(f"{name} is no list of numbers, but has the shape {row.shape}")
    return row
