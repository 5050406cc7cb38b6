"""When a calibration no longer fits an index: one rule for all that is calibrated on its texts."""

from __future__ import annotations

STALE_SHARE = 0.25  # of the texts at calibration, by which an index may grow or shrink


def is_stale(then: int, now: int) -> bool:
    """Whether an index has grown or shrunk too much since a calibration.

    Args:
        then: texts at calibration, >= 0.
        now: texts in the index, >= 0.
    """
    return abs(now - then) > STALE_SHARE * then
