"""Opening an index: what retriever, vector store and rescorer share."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlparse

from langchain_core.embeddings import Embeddings
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_serializer

from langchain_uec.embeddings import IndexEmbeddings, UAEEmbedding

if TYPE_CHECKING:
    from uec_retriever import Engine, Expert

    ExpertLike = str | Path | Expert | UAEEmbedding
    Experts = ExpertLike | Sequence[ExpertLike] | Embeddings
else:  # pydantic resolves annotations, and torch is not to be imported for that
    Engine = Any

_NOT_YET: Any = None  # no user sees an object without its engine


@dataclass(frozen=True)
class Opening:
    """Where an index is and how to open it; the fields are those of `OpensEngine`."""

    index: Path | None = None
    experts: Mapping[str, Any] | None = None
    device: str | None = None
    trust_remote_code: bool = False
    url: str | None = None
    headers: Mapping[str, SecretStr] | None = field(default=None, repr=False)
    client: Any = field(default=None, repr=False)
    collection: str = "uec"

    def options(self) -> dict[str, Any]:
        """What `Engine.open` and `Engine.open_or_create` take besides path and experts.

        Raises:
            InvalidInputError: if a password is in the url, where it would be shown.
        """
        if self.url is not None and "@" in urlparse(self.url).netloc:
            from uec_retriever.errors import InvalidInputError

            raise InvalidInputError(
                "there are credentials in the url: give them as headers={'Authorization': ...}, which are not shown"
            )
        return {
            "device": self.device,
            "trust_remote_code": self.trust_remote_code,
            "url": self.url,
            "headers": {k: v.get_secret_value() for k, v in self.headers.items()} if self.headers else None,
            "client": self.client,
            "collection": self.collection,
        }


_opened: weakref.WeakKeyDictionary[Engine, Opening] = weakref.WeakKeyDictionary()


class OpensEngine(BaseModel):
    """An index of uec-retriever, opened when the object is made.

    Give `index`, the folder that `uec index` or `Engine` made, or `engine`, one that is open already; several
    objects may share an engine.

    Attributes:
        index: folder of the index; also with a Chroma server, for the posterior files.
        engine: open engine; never serialised.
        experts: expert label -> where its model is now, if it has moved, or the loaded expert.
        device: torch device of the experts.
        trust_remote_code: run code that comes with the models. Off unless you say so.
        url: of a Chroma server, instead of the database in the folder.
        headers: for the server, such as a token; kept as secrets.
        client: a Chroma client of your own (embedded or `HttpClient`), instead of `url`; never serialised.
        collection: name of the Chroma collection.

    Raises:
        InvalidInputError: if neither index nor engine is given, or both and they contradict each other.
        NotAnIndexError: if there is no index of ours.
        ModelMismatchError: if a model is not the one that made the index.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

    index: str | Path | None = Field(default=None, frozen=True)
    engine: Engine = Field(default=_NOT_YET, frozen=True, repr=False, exclude=True)
    experts: Mapping[str, Any] | None = Field(default=None, frozen=True)
    device: str | None = Field(default=None, frozen=True)
    trust_remote_code: bool = Field(default=False, frozen=True)
    url: str | None = Field(default=None, frozen=True)
    headers: Mapping[str, SecretStr] | None = Field(default=None, frozen=True)
    client: Any = Field(default=None, frozen=True, repr=False, exclude=True)
    collection: str = Field(default="uec", frozen=True)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # not in model_post_init: there pydantic would hide our errors, most of them ValueErrors, in its own
        self.__dict__["engine"] = opened(self.engine, self._opening())

    def _opening(self) -> Opening:
        names = [name for name in Opening.__dataclass_fields__ if name != "index"]
        index = None if self.index is None else Path(self.index).expanduser().resolve()
        return Opening(index, **{name: getattr(self, name) for name in names})

    @field_serializer("experts")
    def _expert_names(self, experts: Mapping[str, Any] | None) -> dict[str, str] | None:
        return None if experts is None else {k: str(getattr(e, "name", e)) for k, e in experts.items()}

    def __reduce__(self) -> Any:
        """Pickle the options; unpickling opens the index again."""
        if self.index is None or self.client is not None:
            from uec_retriever.errors import InvalidInputError

            raise InvalidInputError(
                f"this {type(self).__name__} has an engine or client that cannot be pickled: open it with index= "
                "(and url= for a Chroma server)"
            )
        options = {name: getattr(self, name) for name in self.model_fields_set - {"engine", "client"}}
        return _rebuilt, (type(self), options)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Engine, client and experts are shared, not copied."""
        shared = (self.engine, self.client, self.experts)
        return super().__deepcopy__({**(memo or {}), **{id(each): each for each in shared}})


def opened(engine: Engine | None, opening: Opening, **making: Any) -> Engine:
    """The engine itself, or one for the index.

    An engine that was opened here for another index, as when LangChain reconfigures a field, is replaced.

    Args:
        engine: open already, if not None.
        opening: says how to open one, if None.
        **making: options for an index that is to be made, so to be None if there is an engine.
    """
    from uec_retriever import Engine as OpenEngine
    from uec_retriever.errors import InvalidInputError

    if engine is not None:
        if not isinstance(engine, OpenEngine):
            raise InvalidInputError(f"engine is a {type(engine).__name__}: give a uec_retriever.Engine")
        asked = [name for name, value in making.items() if value is not None]
        if opening in (Opening(), _opened.get(engine)) and not asked:
            return engine
        if asked or engine not in _opened:
            raise InvalidInputError(
                f"an engine is open already: leave out {' and '.join(asked) or 'index and the like'}"
            )
    if opening.index is None:
        raise InvalidInputError("there is nothing to search: give index=, the folder of an index, or engine=")
    engine = OpenEngine.open(opening.index, experts=opening.experts, **opening.options())
    _opened[engine] = opening
    return engine


def made(
    experts: Experts | None, texts: Iterable[str], opening: Opening, **options: Any
) -> tuple[Engine, dict[str, Any]]:
    """Open the index, or make an empty one.

    Args:
        experts: what to make it of, see `as_experts`.
        texts: what calibration pairs are made from if none are given.
        opening: where it is to be.
        **options: as `Engine.open_or_create`.

    Returns:
        The engine, and the fields of an `OpensEngine` that has it.
    """
    from uec_retriever import Engine as OpenEngine

    given, posteriors = as_experts(experts, opening)
    posteriors |= options.pop("posteriors", None) or {}
    engine = OpenEngine.open_or_create(
        opening.index, given, texts=texts, posteriors=posteriors, **opening.options(), **options
    )
    if opening.index is None:
        return engine, {"engine": engine}
    where = replace(opening, experts=None)
    _opened[engine] = where
    names = Opening.__dataclass_fields__
    return engine, {"engine": engine, **{name: getattr(where, name) for name in names}}


def as_experts(experts: Experts | None, opening: Opening) -> tuple[list[Any] | None, dict[str, Any]]:
    """Experts as the engine takes them, and the posteriors that came with them.

    Args:
        experts: one or more hub ids, folders, loaded experts or `UAEEmbedding`s, the `embeddings` of a
            `UECVectorStore`, or None.
        opening: device and trust for those given by name.
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
            expert = each.as_expert(device=opening.device)
            if each.posterior is not None:
                posteriors[expert.label] = each.posterior
            found.append(expert)
        elif isinstance(each, str | Path) or hasattr(each, "last_layer"):
            found.append(each)
        else:
            from uec_retriever.errors import InvalidInputError

            raise InvalidInputError(
                f"{type(each).__name__} cannot be an expert, because its variance comes from the model's last layer: "
                "give hub ids or folders of sentence-transformers models, or UAEEmbedding(model_name=...)"
            )
    return found, posteriors


def secret_headers(headers: Mapping[str, str | SecretStr] | None) -> dict[str, SecretStr] | None:
    """Headers with their values as secrets."""
    if headers is None:
        return None
    return {k: v if isinstance(v, SecretStr) else SecretStr(v) for k, v in headers.items()}


def _rebuilt(cls: type[OpensEngine], options: dict[str, Any]) -> OpensEngine:
    return cls(**options)
