"""Dates and moments as strings, the one way that all metadata have them in."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def iso(value: date | str) -> str:
    """A date, or a moment, in UTC if its zone is known, such that the order of the strings is that of time.

    UTC is told as `+00:00`, as Python does, and not as `Z`, which would put whole seconds after their fractions.

    Raises:
        ValueError: for a string that is no date of ISO 8601.
    """
    if isinstance(value, str):
        value = date.fromisoformat(value) if _DAY.fullmatch(value) else datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        try:
            value = value.astimezone(UTC)
        except OverflowError:  # within a day of the year 1 or 9999
            pass
    return value.isoformat()
