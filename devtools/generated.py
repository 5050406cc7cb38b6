"""Generated input of every kind, for properties that hold whatever comes in; and how many examples are tried."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from uec_retriever.errors import UECError

_EVERY = 3
SAME = "UEC_EXAMPLES" not in os.environ
"""Whether it is the same examples each time, so that a run says something of a change; others are asked for."""


def examples(many: int) -> int:
    """A third of them; with `UEC_EXAMPLES` in the environment so many times as that says, `all` is 1.

    Args:
        many: how many are tried where time does not matter.

    Raises:
        ValueError: if the environment says anything else than `all` or a whole number.
    """
    told = os.environ.get("UEC_EXAMPLES")
    return many // _EVERY if told is None else many * (1 if told == "all" else int(told))


GENERATED = settings(
    max_examples=examples(60),
    deadline=None,
    derandomize=SAME,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
HUGE = (10**4000, -(10**400), 2**31, 2**32, 2**63, 2**64, 1e308, math.nan, math.inf, -math.inf)


def deep(levels: int) -> Any:
    """Brackets in brackets."""
    value: Any = 1
    for _ in range(levels):
        value = {"$and": [value]} if levels % 2 else [value]
    return value


NUMPY = (
    np.float32(0.5),
    np.int64(3),
    np.str_("s1"),
    np.bool_(True),
    np.array(2),
    np.array([1, 2]),
    np.datetime64(0, "s"),
)
ODD_TEXTS = ("", " ", "\0", "\ud800", "a\udfffb", "\x1b[2J", "é 🙂", "x" * 3000)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 30),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from((*HUGE, *NUMPY, *ODD_TEXTS, b"bytes", 1j, object())),
)
ANYTHING = st.recursive(
    SCALARS | st.builds(deep, st.sampled_from((40, 99, 150, 151))),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.tuples(inner)
        | st.frozensets(st.integers(), max_size=2)
    ),
    max_leaves=4,
)


def ours(call: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """What a call gives; None if it refuses with one of our errors, whose message can be printed."""
    try:
        return call(*args, **keywords)
    except UECError as error:
        assert 0 < len(str(error).encode()) < 2000
        return None
