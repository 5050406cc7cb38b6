"""Options that are refused before anything is opened or made, with errors that name the fix."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from uec_retriever.errors import InvalidInputError, show

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

_KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
P = ParamSpec("P")
T = TypeVar("T")
_SAME = (  # names of one thing, in this package, the frameworks and their other retrievers
    ("k", "top_k", "similarity_top_k", "n_results", "limit"),
    ("filter", "filters", "where"),
    ("index", "location", "path", "persist_dir", "persist_directory"),
    ("score_threshold", "similarity_cutoff", "min_score"),
    ("experts", "embedding", "embed_model", "embedding_function"),
    ("lambda_mult", "mmr_threshold"),
    ("progress", "show_progress"),
)


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
        raise InvalidInputError(f"{name} is a list: [{show(values)}]")
    if not isinstance(values, Sequence | set | frozenset):
        raise InvalidInputError(f"{name} is a list of names, got {show(values)}: leave it out for none")
    if unknown := [value for value in values if value not in list(possible)]:
        raise InvalidInputError(f"{name} can hold {list(possible)}, got {show(unknown[0])}")
    return tuple(dict.fromkeys(values))


def with_candidates(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a search, in which `fetch_k`, as LangChain calls `candidates`, has become that.

    Args:
        options: by name.

    Raises:
        InvalidInputError: if both are given and differ.
    """
    named = dict(options)
    other = named.pop("fetch_k", None)
    if other is None:
        return named
    if named.get("candidates") not in (None, other):
        raise InvalidInputError(
            f"candidates={show(named['candidates'])} and fetch_k={show(other)} are two names of one number: give one"
        )
    return {**named, "candidates": other}


def check_search_options(
    k: Any, candidates: Any = None, temperature: Any = None, coverage: Any = None
) -> None:
    """Refuse what no index could search with; `Searcher.check_options` says what one index cannot.

    Raises:
        InvalidInputError: for an option out of range.
    """
    from uec_retriever.checks.numbers import check_temperature
    from uec_retriever.engine.search import SearchOptions

    SearchOptions(k, None, candidates, coverage=coverage)
    if temperature is not None:
        check_temperature(temperature)


def check_no_evidence(sentence: object, min_confidence: float | None, abstain: str) -> None:
    """Refuse a sentence for the language model that would never be said.

    Raises:
        InvalidInputError: for what is no sentence, or beside a `min_confidence` with another `abstain` than "empty".
    """
    if sentence is None:
        return
    if not isinstance(sentence, str) or not sentence.strip():
        raise InvalidInputError(
            f"no_evidence is a sentence for the language model, got {show(sentence)}: leave it out for none"
        )
    if min_confidence and abstain != "empty":
        raise InvalidInputError(
            f"no_evidence stands in for what is left out, which abstain={show(abstain)} does not do: give abstain='empty' "
            "too, or no_evidence=None"
        )


def refuse_unknown(given: Iterable[str], known: Iterable[str], function: str) -> None:
    """Refuse keywords that a function does not have, and say which it has.

    Args:
        given: to the function.
        known: those that it has.
        function: its name.

    Raises:
        TypeError: as Python raises it.
    """
    known = list(known)
    for name in given:
        if name not in known:
            belongs = function.startswith("from_") and name in _recipe_options()
            remedy = (
                f"give it in the recipe, Recipe({name}=...)"
                if belongs
                else f"it takes {say_names(name, known)}"
            )
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}: {remedy}")


def tells_keywords(function: Callable[P, T]) -> Callable[P, T]:
    """Have a function refuse keywords that it does not have as `refuse_unknown` does."""
    parameters = inspect.signature(function).parameters.values()
    known = [p.name for p in parameters if p.name not in ("self", "cls") and p.kind in _KEYWORDS]
    shown = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        refuse_unknown(kwargs, known, shown)
        return function(*args, **kwargs)

    return checked


def say_names(name: str, known: Sequence[str]) -> str:
    """The names that there are, and which of them may be meant.

    Args:
        name: that is none of them.
        known: those that there are.
    """
    same = [each for names in _SAME if name in names for each in names if each in known]
    near = same or difflib.get_close_matches(name, known, n=1)
    return f"{', '.join(known) or 'none'}{f' (did you mean {near[0]!r}?)' if near else ''}"


def _recipe_options() -> Collection[str]:
    from uec_retriever.engine.recipe import Recipe

    return Recipe.__dataclass_fields__


def refuse_validation(owner: type[BaseModel], error: ValidationError) -> InvalidInputError:
    """Our error for what pydantic found wrong with fields; it holds no values, which may be secrets.

    Args:
        owner: class whose fields they are.
        error: pydantic's.
    """
    problems, known = [], list(owner.model_fields)
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(str(part) for part in each["loc"]) or "its options"
        if each["type"] == "extra_forbidden":
            problems.append(f"{name} is no option of it, which takes {say_names(name, known)}")
        elif each["type"] == "missing":
            problems.append(f"{name} is missing: give it")
        else:
            problems.append(f"{name}: {each['msg'][:1].lower()}{each['msg'][1:]}")
    return InvalidInputError(f"{owner.__name__} cannot be made: {'; '.join(problems)}")
