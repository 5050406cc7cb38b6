"""Options that are refused before anything is opened or made, with errors that name the fix."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from uec_retriever.errors import InvalidInputError

if TYPE_CHECKING:
    from pydantic import ValidationError

    from uec_retriever.gaussian import Array


def check_number(name: str, value: Any, low: float, high: float, hint: str = "") -> None:
    """Refuse what is no number in [low, high].

    Args:
        name: of the option.
        value: given for it.
        low: least.
        high: greatest.
        hint: put after the message.

    Raises:
        InvalidInputError: naming option and range.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not (is_number and low <= value <= high):
        raise InvalidInputError(f"{name} must be a number in [{low:g}, {high:g}]{hint}, got {value!r}")


def check_count(name: str, value: object) -> None:
    """Refuse what is no whole number of at least 1.

    Raises:
        InvalidInputError: naming the option.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInputError(f"{name} must be a whole number of at least 1, got {value!r}")


def check_names(name: str, values: object, possible: Collection[str]) -> tuple[Any, ...]:
    """Names out of those that there are, each once.

    Args:
        name: of the option that holds them.
        values: a list of names.
        possible: those that there are.

    Raises:
        InvalidInputError: for something else than a list, or a name that does not exist.
    """
    if isinstance(values, str):
        raise InvalidInputError(f"{name} is a list: [{values!r}]")
    if not isinstance(values, Sequence | set | frozenset):
        raise InvalidInputError(f"{name} is a list of names, got {values!r}: leave it out for none")
    if unknown := [value for value in values if value not in list(possible)]:
        raise InvalidInputError(f"{name} can hold {list(possible)}, got {unknown[0]!r}")
    return tuple(dict.fromkeys(values))


def to_vector(embedding: object) -> Array:
    """An embedding as an array, float32.

    Raises:
        InvalidInputError: for what is no list of numbers.
    """
    try:
        return np.asarray(embedding, dtype=np.float32)
    except (ValueError, TypeError, OverflowError):
        raise InvalidInputError(
            f"the query embedding is a {type(embedding).__name__}, not a list of numbers: use one that this index's "
            "embed_queries made"
        ) from None


def check_search_options(k: Any, candidates: Any = None, temperature: Any = None) -> None:
    """Refuse what no index could search with; `Searcher.check_options` says what one index cannot.

    Raises:
        InvalidInputError: for an option out of range.
    """
    from uec_retriever.convolution import check_temperature
    from uec_retriever.engine.search import SearchOptions

    SearchOptions(k, None, candidates)
    if temperature is not None:
        check_temperature(temperature)


def refuse_validation(owner: str, error: ValidationError) -> InvalidInputError:
    """Our error for what pydantic found wrong with fields; it holds no values, which may be secrets.

    Args:
        owner: class whose fields they are.
        error: pydantic's.
    """
    problems = []
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(str(part) for part in each["loc"]) or "its options"
        if each["type"] == "extra_forbidden":
            problems.append(f"{name} is no option of it: leave it out")
        elif each["type"] == "missing":
            problems.append(f"{name} is missing: give it")
        else:
            problems.append(f"{name}: {each['msg'][:1].lower()}{each['msg'][1:]}")
    return InvalidInputError(f"{owner} cannot be made: {'; '.join(problems)}")
