"""The engine under a LangChain object: opened, or made of experts."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from langchain_core.embeddings import Embeddings
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_serializer

from langchain_uec.embeddings import IndexEmbeddings, UAEEmbedding
from uec_retriever.checks.iterables import is_iterable
from uec_retriever.engine.closing import Closes
from uec_retriever.engine.copies import explaining_lost_headers
from uec_retriever.engine.existing import Existing
from uec_retriever.engine.location import Location
from uec_retriever.engine.options import refuse_unknown, refuse_validation
from uec_retriever.errors import InvalidInputError

if TYPE_CHECKING:
    from uec_retriever import Engine, Expert, Recipe, Record

    ExpertLike = str | Path | Expert | Embeddings
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


class UsesEngine(Closes, BaseModel):
    """Something over an index of uec-retriever, which is opened when the object is made.

    Give `index` or `engine`; several objects may share an engine. Pickling keeps the location, and unpickling opens the
    index again; neither pickles nor JSON hold headers or client. Copies share the engine.

    Attributes:
        index: folder of the index, or a `Location`: a Chroma server by url and headers, a client of your own, another
            collection.
        engine: open engine; never serialised.
        experts: expert label -> where its model is now, if it has moved; or the loaded expert, `UAEEmbedding` or other
            `Embeddings`, for a model that needs options, or cannot be loaded by name.
        device: torch device of the experts; sentence-transformers' choice if None.

    Raises:
        InvalidInputError: for an option that cannot be used; if neither index nor engine is given, or both and they
            contradict each other.
        NotAnIndexError: if there is no index of ours.
        ModelMismatchError: if a model is not the one that made the index.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

    index: str | Path | Location | None = Field(default=None, frozen=True)
    engine: Engine = Field(default=_NOT_YET, frozen=True, repr=False, exclude=True)
    experts: Mapping[str, Any] | None = Field(default=None, frozen=True)
    device: str | None = Field(default=None, frozen=True)

    _owns_engine: bool = PrivateAttr(default=False)

    def __init__(self, **options: Any) -> None:
        self._check_values(options)
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise refuse_validation(type(self), error) from None
        # not in model_post_init: there pydantic would hide our errors, most of them ValueErrors, in its own
        location = None if self.index is None else Location.of(self.index)
        opening, given = Opening(location, self.experts, self.device), self.engine
        reconfigured = (
            options.keys() >= type(self).model_fields.keys()
        )  # as LangChain does, with all there are
        self.__dict__["engine"] = find_engine(given, opening, replace_other=reconfigured)
        self._owns_engine = self.engine is not given

    def close(self) -> None:
        """Close the index, for copies of this object too; an engine that was given stays open."""
        if self._owns_engine:
            self.engine.close()

    @field_serializer("experts")
    def _expert_names(self, experts: Mapping[str, Any] | None) -> dict[str, str] | None:
        return None if experts is None else {label: _model_name(each) for label, each in experts.items()}

    def __reduce__(self) -> Any:
        """Pickle the options; unpickling opens the index again."""
        if self.index is not None:  # an engine that is pickled with it says the same
            check_objects_are_given(self.engine, self.experts or {})
        names = (self.model_fields_set | {"engine"}) - {"engine" if self.index is not None else "index"}
        return _rebuild, (type(self), {name: getattr(self, name) for name in names}, self._owns_engine)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Engine, location and experts are shared, not copied."""
        shared = (self.engine, self.index, self.experts)
        return super().__deepcopy__({**(memo or {}), **{id(each): each for each in shared}})

    @classmethod
    def _check_options(cls, options: Mapping[str, Any], function: str) -> None:
        """Refuse, before anything is made, what is no option beside those that say where the engine comes from."""
        own = [name for name in inspect.signature(getattr(cls, function)).parameters if name != "options"]
        options_of_it = [name for name in cls.model_fields if name not in UsesEngine.model_fields]
        refuse_unknown(options, [*own, *options_of_it], function)
        cls._check_values(options)
        try:
            cls.__pydantic_validator__.validate_python(dict(options), self_instance=cls.__new__(cls))
        except ValidationError as error:
            raise refuse_validation(cls, error) from None

    @classmethod
    def _check_values(cls, options: Mapping[str, Any]) -> None:
        """Refuse values that no index could be used with."""


def find_engine(engine: Engine | None, opening: Opening, *, replace_other: bool = False) -> Engine:
    """The engine itself, or one for the index.

    Args:
        engine: open already, if not None.
        opening: says how to open one, if None.
        replace_other: open one in place of an engine that was opened here for something else, instead of refusing
            it: what LangChain needs to reconfigure a field.

    Raises:
        InvalidInputError: unless one of them says something, or if they contradict each other.
    """
    from uec_retriever.engine.choice import choose_engine
    from uec_retriever.engine.engine import Engine as OpenEngine

    if opening != Opening() and isinstance(engine, OpenEngine) and engine in _opened:
        if _opened[engine] == opening:
            return engine
        if not replace_other:
            raise InvalidInputError(
                "the engine is of another index, or was opened with other experts or another device, than is asked "
                "for: give index= or engine=, one of them"
            )
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
    show_progress: bool = False,
) -> tuple[Engine, dict[str, Any]]:
    """Open the index, or make an empty one.

    Args:
        experts: what to make it of, see `list_experts`.
        texts: what calibration pairs are made from if the recipe has none.
        location: where it is to be; in a temporary folder if None.
        recipe: how to make it.
        device: torch device of the experts.
        batch_size: texts in one forward pass.
        show_progress: show a bar, if it takes over two seconds.

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
        location,
        given,
        recipe,
        texts=texts,
        device=device,
        batch_size=batch_size,
        progress=show_progress,
    )
    if location is None or Location.of(location).path is None:
        return engine, {"engine": engine}
    _opened[engine] = Opening(Location.of(location), device=device)
    return engine, {"engine": engine, "index": location, "device": device}


def add_records(
    engine: Engine,
    records: Sequence[Record],
    batch_size: int,
    existing: Existing = "replace",
    show_progress: bool = False,
) -> None:
    """Add records; one warning tells of texts that were cut."""
    engine.add_records(records, existing=existing, batch_size=batch_size, progress=show_progress)


def list_experts(experts: Experts | None, device: str | None) -> tuple[list[Any] | None, dict[str, Any]]:
    """Experts as the engine takes them, and the posteriors that came with them, by label.

    Args:
        experts: one or more names of models (`Expert.load`), loaded experts, `UAEEmbedding`s, other `Embeddings` or
            whatever else embeds texts (`Expert.of`), the `embeddings` of a `UECVectorStore`, or None.
        device: torch device for `UAEEmbedding`s that have none.
    """
    if experts is None:
        return None, {}
    if isinstance(experts, IndexEmbeddings):
        return list(experts.engine.experts), {}
    several: Iterable[Any] = [experts]
    if is_iterable(experts) and not isinstance(experts, str | Embeddings):
        several = experts
    found: list[Any] = []
    posteriors: dict[str, Any] = {}
    for each in several:
        if isinstance(each, UAEEmbedding):
            expert = each.as_expert(device=device)
            if each.posterior is not None:
                posteriors[expert.label] = each.posterior
            found.append(expert)
        else:
            found.append(each)
    return found, posteriors


def check_objects_are_given(engine: Engine, experts: Mapping[str, Any]) -> None:
    """Refuse an engine that could not be opened again, as one of its experts has no name to load it by.

    Args:
        engine: open.
        experts: expert label -> what would be given to open it.

    Raises:
        InvalidInputError: naming the expert and what to do.
    """
    from uec_retriever.experts.adapters import OBJECT

    for entry, expert in zip(engine.manifest.experts, engine.experts, strict=True):
        if entry.model.startswith(OBJECT) and entry.label not in experts:
            expert.check_reloads()


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


def _rebuild(cls: type[UsesEngine], options: dict[str, Any], owns_engine: bool) -> UsesEngine:
    index = options.get("index")
    with explaining_lost_headers(index if isinstance(index, Location) else None):
        made = cls(**options)
    made._owns_engine = owns_engine or made._owns_engine
    return made
