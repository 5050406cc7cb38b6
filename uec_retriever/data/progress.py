"""How long work tells of itself: to a function, or as a bar."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager

from uec_retriever.errors import InvalidInputError, show

Progress = Callable[[int], None]
"""Called with the number of items done since the last call."""
FineProgress = Callable[[float], None]
"""Likewise, where a part of an item counts too."""
Watch = FineProgress | bool | None
"""What watches work: a function, called with the number of items done since the last call; True for a bar; None for nobody."""
DELAY = 2.0  # seconds, until a bar is shown


@contextmanager
def watching(
    watch: Watch, what: str, total: float | None = None, *, unit: str = "texts"
) -> Iterator[Callable[[float], None] | None]:
    """What to tell of the work inside the block; None if nobody watches.

    A bar is tqdm's, as the frameworks' are: on standard error, or where the cell of a notebook is. It comes after two
    seconds, so that short work shows none.

    Args:
        watch: what watches.
        what: is done, for the bar.
        total: how many items there are, as far as is known.
        unit: what items are.

    Raises:
        InvalidInputError: for a watch that is none.
    """
    if watch is None or watch is False:
        yield None
    elif watch is True:
        from tqdm.auto import tqdm  # finds out whether this is a notebook

        count = None if total is None else round(total)
        with tqdm(total=count, desc=what, unit=f" {unit}", delay=DELAY, dynamic_ncols=True) as bar:
            done, lock = 0.0, threading.Lock()

            def tell(more: float) -> None:
                nonlocal done
                with lock:
                    done += more
                    bar.update(round(done) - bar.n)

            yield tell
            if count is not None:  # less to do than was thought, as after an interruption
                bar.total = bar.n
    elif callable(watch):
        yield watch
    else:
        raise InvalidInputError(
            f"progress is True for a bar, or a function that is called with the number done, got {show(watch)}"
        )


def count_of(items: Iterable[object]) -> int | None:
    """How many items there are; None where that is known at the end alone."""
    return len(items) if isinstance(items, Sized) else None
