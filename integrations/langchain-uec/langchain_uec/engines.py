"""The engine under a LangChain object: opened, or made of experts."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from langchain_core.embeddings import Embeddings
from pydantic import BaseModel, ConfigDict, Field, field_serializer

from langchain_uec.embeddings import IndexEmbeddings, UAEEmbedding
from uec_retriever.engine.location import Location
from uec_retriever.errors import InvalidInputError

if TYPE_CHECKING:
    from uec_retriever import Engine, Expert, Recipe

    ExpertLike = str | Path | Expert | UAEEmbedding
    Experts = ExpertLike | Sequence[ExpertLike] | Embeddings
else:  # pydantic resolves annotations, and torch is not to be imported for that
    Engine = Any

_NOT_YET: Any = None  # no user sees an object without its engine


@dataclass(frozen=True)
class Opening:
    """Which index to open, and how; see `UsesEngine`."""

    location: Location | None = None
    experts: Mapping[str, Any] | None = None
    device: str | None = None


_opened: weakref.WeakKeyDictionary[Engine, Opening] = weakref.WeakKeyDictionary()


class UsesEngine(BaseModel):
    """Something over an index of uec-retriever, which is opened when the object is made.

    Give `index` or `engine`; several objects may share an engine. Pickling keeps the location, with its headers, and
    unpickling opens the index again; JSON holds neither headers nor client.

    Attributes:
        index: folder of the index, or a `Location`: a Chroma server by url and headers, a client of your own, another
            collection.
        engine: open engine; never serialised.
        experts: expert label -> where its model is now, if it has moved; or the loaded expert or `UAEEmbedding`, for a
            model that needs `trust_remote_code` or other options.
        device: torch device of the experts; sentence-transformers' choice if None.

    Raises:
        InvalidInputError: if neither index nor engine is given, or both and they contradict each other.
        NotAnIndexError: if there is no index of ours.
        ModelMismatchError: if a model is not the one that made the index.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

    index: str | Path | Location | None = Field(default=None, frozen=True)
    engine: Engine = Field(default=_NOT_YET, frozen=True, repr=False, exclude=True)
    experts: Mapping[str, Any] | None = Field(default=None, frozen=True)
    device: str | None = Field(default=None, frozen=True)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # not in model_post_init: there pydantic would hide our errors, most of them ValueErrors, in its own
        location = None if self.index is None else Location.of(self.index)
        self.__dict__["engine"] = find_engine(self.engine, Opening(location, self.experts, self.device))

    @field_serializer("experts")
    def _expert_names(self, experts: Mapping[str, Any] | None) -> dict[str, str] | None:
        return None if experts is None else {label: _model_name(each) for label, each in experts.items()}

    def __reduce__(self) -> Any:
        """Pickle the options; unpickling opens the index again."""
        if self.index is None or Location.of(self.index).client is not None:
            raise InvalidInputError(
                f"this {type(self).__name__} has an engine or client that cannot be pickled: open it with index=, a "
                "folder or a Location with the url of a Chroma server"
            )
        return _rebuild, (
            type(self),
            {name: getattr(self, name) for name in self.model_fields_set - {"engine"}},
        )

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Engine, location and experts are shared, not copied."""
        shared = (self.engine, self.index, self.experts)
        return super().__deepcopy__({**(memo or {}), **{id(each): each for each in shared}})

    @classmethod
    def _check_names(cls, options: Mapping[str, Any], function: str) -> None:
        """Refuse what is no option of this class beside those that say where the engine comes from."""
        known = set(cls.model_fields) - set(UsesEngine.model_fields)
        refuse_unknown([name for name in options if name not in known], function)


def find_engine(engine: Engine | None, opening: Opening) -> Engine:
    """The engine itself, or one for the index.

    An engine that was opened here for another index, as when LangChain reconfigures a field, is replaced.

    Args:
        engine: open already, if not None.
        opening: says how to open one, if None.

    Raises:
        InvalidInputError: unless one of them says something.
    """
    from uec_retriever.engine.choice import choose_engine
    from uec_retriever.engine.engine import Engine as OpenEngine

    if opening != Opening() and isinstance(engine, OpenEngine) and engine in _opened:
        if _opened[engine] == opening:
            return engine
        engine = None
    found = choose_engine(engine, opening.location, experts=_load_embeddings(opening), device=opening.device)
    if engine is None:
        _opened[found] = opening
    return found


def make_engine(
    experts: Experts | None,
    texts: Iterable[str],
    location: str | Path | Location | None,
    recipe: Recipe | None,
    *,
    device: str | None,
    batch_size: int = 32,
) -> tuple[Engine, dict[str, Any]]:
    """Open the index, or make an empty one.

    Args:
        experts: what to make it of, see `list_experts`.
        texts: what calibration pairs are made from if the recipe has none.
        location: where it is to be; in a temporary folder if None.
        recipe: how to make it.
        device: torch device of the experts.
        batch_size: texts in one forward pass.

    Returns:
        The engine, and the fields of a `UsesEngine` that has it.
    """
    from uec_retriever import Engine as OpenEngine
    from uec_retriever import Recipe as PlainRecipe

    given, posteriors = list_experts(experts, device)
    recipe = recipe or PlainRecipe()
    if posteriors:
        own = recipe.posteriors
        both: Any = {**posteriors, **own} if isinstance(own, Mapping) else [*posteriors.values(), *own]
        recipe = replace(recipe, posteriors=both)
    engine = OpenEngine.open_or_create(
        location, given, recipe, texts=texts, device=device, batch_size=batch_size
    )
    if location is None or Location.of(location).path is None:
        return engine, {"engine": engine}
    _opened[engine] = Opening(Location.of(location), device=device)
    return engine, {"engine": engine, "index": location, "device": device}


def list_experts(experts: Experts | None, device: str | None) -> tuple[list[Any] | None, dict[str, Any]]:
    """Experts as the engine takes them, and the posteriors that came with them, by label.

    Args:
        experts: one or more hub ids, folders, loaded experts or `UAEEmbedding`s, the `embeddings` of a
            `UECVectorStore`, or None.
        device: torch device for `UAEEmbedding`s that have none.

    Raises:
        InvalidInputError: for anything else.
    """
    if experts is None:
        return None, {}
    if isinstance(experts, IndexEmbeddings):
        return list(experts.engine.experts), {}
    several: Iterable[Any] = [experts]
    if isinstance(experts, Iterable) and not isinstance(experts, str | Embeddings):
        several = experts
    found: list[Any] = []
    posteriors: dict[str, Any] = {}
    for each in several:
        if isinstance(each, UAEEmbedding):
            expert = each.as_expert(device=device)
            if each.posterior is not None:
                posteriors[expert.label] = each.posterior
            found.append(expert)
        elif isinstance(each, str | Path) or hasattr(each, "last_layer"):
            found.append(each)
        else:
            raise InvalidInputError(
                f"{type(each).__name__} cannot be an expert, because its variance comes from the model's last layer: "
                "give hub ids or folders of sentence-transformers models, or UAEEmbedding(model_name=...)"
            )
    return found, posteriors


def refuse_unknown(names: Iterable[str], function: str) -> None:
    """Raise the TypeError that Python raises for a keyword that a function does not have."""
    for name in names:
        raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


def _load_embeddings(opening: Opening) -> dict[str, Any] | None:
    """Expert label -> what `Engine.open` takes."""
    if opening.experts is None:
        return None
    return {
        label: each.as_expert(device=opening.device) if isinstance(each, UAEEmbedding) else each
        for label, each in opening.experts.items()
    }


def _model_name(expert: Any) -> str:
    if isinstance(expert, UAEEmbedding):
        return expert.model_name
    return str(getattr(expert, "name", expert))


def _rebuild(cls: type[UsesEngine], options: dict[str, Any]) -> UsesEngine:
    return cls(**options)
