"""How many generated examples a slow property is tried on."""

from __future__ import annotations

import os

_EVERY = 3


def examples(many: int) -> int:
    """A third of them; all with `UEC_EXAMPLES=all` in the environment.

    Args:
        many: how many are tried where time does not matter.
    """
    return many if os.environ.get("UEC_EXAMPLES") == "all" else many // _EVERY
