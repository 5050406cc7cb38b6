"""One warning a call for texts that a model cut to its maximal length."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

_logger = logging.getLogger(__name__)
SHOWN = 5
"""At most this many ids in a warning."""


def warn_of_truncation(counts: Mapping[str, int], which: Sequence[object]) -> None:
    """Warn that texts were cut; say nothing if none was.

    Args:
        counts: model or expert -> texts that it cut.
        which: ids or positions of some of these texts.
    """
    cut = ", ".join(
        f"{label} cut {number} text{'s' * (number > 1)}" for label, number in counts.items() if number
    )
    if cut:
        examples = ", ".join(repr(each) for each in which[:SHOWN])
        _logger.warning(
            "%s to its maximal length and did not see the rest (e.g. %s): split long texts to have all of them found",
            cut,
            examples,
        )


def warn_of_cut_query(labels: Sequence[str]) -> None:
    """Warn that experts cut a query; say nothing if none did."""
    if labels:
        _logger.warning(
            "%s cut the query to its maximal length and did not see its end: shorten it", " and ".join(labels)
        )
