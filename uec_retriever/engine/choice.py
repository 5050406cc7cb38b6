"""Use the engine that is open, or open the one of an index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uec_retriever.engine.engine import Engine
from uec_retriever.engine.location import Location
from uec_retriever.errors import InvalidInputError


def choose_engine(engine: Engine | None, index: str | Path | Location | None, **opening: Any) -> Engine:
    """The engine itself, or one for the index.

    Args:
        engine: open already; or give `index`.
        index: folder of an index, or a `Location`.
        **opening: `experts` and `device` of `Engine.open`, None where they are not given.

    Raises:
        InvalidInputError: unless one of engine and index is given; for an engine that is none, or options for one
            that is open already.
        UECError: whatever `Engine.open` refuses.
    """
    if (engine is None) == (index is None):
        raise InvalidInputError(
            "give index=, the folder or Location of an index, or engine=, an open one: one of them"
        )
    given = {name: value for name, value in opening.items() if value is not None}
    if index is not None:
        return Engine.open(index, **given)
    if not isinstance(engine, Engine):
        raise InvalidInputError(f"engine is a {type(engine).__name__}: give a uec_retriever.Engine")
    if given:
        raise InvalidInputError(f"the engine is open already: leave out {' and '.join(given)}")
    return engine
