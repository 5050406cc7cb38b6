"""Metadata values: which there are, what others become, and why some cannot be."""

from __future__ import annotations

import math
from datetime import date, datetime, time
from typing import Any

import numpy as np

from uec_retriever.data.moments import iso
from uec_retriever.data.texts import text_problem

_INT64 = 2**63


def plain_value(value: Any) -> Any:
    """A value as an index keeps it, also in a list; what has no such form stays as it is.

    Scalars and arrays of NumPy become Python's, dates and times strings in ISO 8601 (see `moments`), those that are no time (NaT) None.
    """
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value] if value.ndim == 1 else _plain(value[()])
    return [_plain(item) for item in value] if isinstance(value, list) else _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else _of_numpy(value)
    if isinstance(value, date):  # a datetime is one
        return iso(value) if value == value else None  # pandas' NaT is not itself
    if isinstance(value, time):
        return value.isoformat()
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def _of_numpy(value: np.datetime64) -> str:
    """A moment as Python's would be told; one that Python's cannot hold, such as a year alone, as NumPy tells it."""
    if np.datetime_data(value.dtype)[0] in ("Y", "M", "W", "D"):
        return str(value)
    moment = value.astype("datetime64[us]")
    exact = moment == value and isinstance(moment.item(), datetime)
    return iso(moment.item()) if exact else str(value)


def is_nothing(value: object) -> bool:
    """Whether a value says nothing: None, or a list without items; Chroma holds neither."""
    return value is None or (isinstance(value, list) and not value)


def value_problem(value: object) -> str | None:
    """Why Chroma cannot hold a plain value, with the fix; None if it can."""
    if isinstance(value, list):
        if len({type(item) for item in value}) > 1 or isinstance(value[0], list):
            return "a list must hold values of one type, no lists: store json.dumps(value) instead"
        return next((problem for item in value if (problem := value_problem(item))), None)
    if value is None:
        return "None cannot be stored in a list: leave it out"
    if type(value) not in (str, int, float, bool):
        return (
            f"{type(value).__name__} cannot be stored: use str, int, float, bool, a date or a list of one of them "
            "(json.dumps(value) for dictionaries)"
        )
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN and infinity cannot be stored: drop the key"
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return "the integer has more than 64 bits: store str(value) instead"
    if isinstance(value, str) and value.strip() and (problem := text_problem(value)):
        return problem
    return None
