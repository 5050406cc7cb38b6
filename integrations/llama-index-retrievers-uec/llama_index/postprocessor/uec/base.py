"""UECRescorer: scores what any other retriever returned with the uncertainty-aware similarity."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index.retrievers.uec.annotate import annotate
from pydantic import ValidationError

from uec_retriever import Engine, Location, Recipe
from uec_retriever.checks.numbers import check_whole
from uec_retriever.data.truncation import warn_of_cut_query, warn_of_truncation
from uec_retriever.engine.choice import choose_engine
from uec_retriever.engine.closing import Closes
from uec_retriever.engine.copies import explaining_lost_headers
from uec_retriever.engine.options import refuse_validation
from uec_retriever.engine.results import RescoringExtra, check_include, check_min_score
from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.expert import ExpertLike


class UECRescorer(Closes, BaseNodePostprocessor):
    """Rescores nodes with the experts of an index, best first; the nodes need not be in the index.

    A context manager: `close` lets go of the index that it opened. Give `index` or `engine`; `from_experts` makes one for those who have no index of ours. Scores lie in
    [0, 1], higher is better, and replace the retriever's. Serialised, it holds neither the headers nor the client of
    its `Location`.

    Args:
        index: folder of an index, or a `Location` (a Chroma server, a client, a collection).
        engine: an open index: `Engine.open` takes models that have moved, or that bring code of their own.
        top_n: how many nodes to keep; all if None.
        similarity_cutoff: drop nodes of a lower score, in [0, 1].
        include: any of `score`, `raw_score`, `deviation` and `coefficients`: put into the metadata of returned nodes
            as `uec_score` and so on, hidden from LLM and embedding model. What only a search knows (`matched`,
            `expert_scores`, `confidence`) stays as an earlier retriever put it.
        batch_size: texts in one forward pass.
        device: torch device for the experts; sentence-transformers' choice if None.

    Raises:
        InvalidInputError: for arguments that cannot be used, or unless one of index and engine is given.
        NotAnIndexError: if there is no index of ours.
        ModelNotFoundError: if a model is gone.
        ModelMismatchError: if a model is not the one that made the index.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    index: str | Location | None = Field(default=None, description="Folder of an index, or its location.")
    top_n: int | None = Field(default=None, ge=1, description="How many nodes to keep; all if None.")
    similarity_cutoff: float | None = Field(default=None, description="Drop nodes of a lower score.")
    include: list[RescoringExtra] = Field(
        default_factory=list, description="Extras to put into the metadata of returned nodes."
    )
    batch_size: int = Field(default=32, ge=1, description="Texts in one forward pass.")
    device: str | None = Field(default=None, description="Torch device for the experts.")
    _engine: Engine = PrivateAttr()
    _owns_engine: bool = PrivateAttr(default=False)

    def __init__(
        self,
        index: str | Path | Location | Mapping[str, Any] | None = None,
        *,
        engine: Engine | None = None,
        **fields: Any,
    ) -> None:
        _check_values(fields)
        try:
            super().__init__(**{"index": str(index) if isinstance(index, Path) else index, **fields})
        except ValidationError as error:
            raise refuse_validation(UECRescorer, error) from None
        self._owns_engine = engine is None
        self._engine = choose_engine(engine, self.index, device=self.device)

    @classmethod
    def from_experts(
        cls,
        experts: Sequence[ExpertLike],
        location: str | Path | Location | None = None,
        recipe: Recipe | None = None,
        *,
        texts: Iterable[str] = (),
        device: str | None = None,
        show_progress: bool = False,
        **fields: Any,
    ) -> UECRescorer:
        """A rescorer without an index: fits the experts, or takes those that were fitted before.

        How rare each word is, those that are rescored together tell.

        Args:
            experts: names of models (`Expert.load`), loaded experts, LlamaIndex `BaseEmbedding`s or whatever else embeds
                texts (`Expert.of`).
            location: folder to keep what was fitted in, or a `Location`; a temporary folder if None.
            recipe: calibration pairs and posteriors of your own, structure, layout, temperature, lexical (words).
            texts: of your corpus, to calibrate on if the recipe has no pairs; documentation of the Python standard
                library if too few.
            device: torch device for the experts; sentence-transformers' choice if None.
            show_progress: show a bar for fitting that takes over two seconds.
            **fields: `top_n`, `similarity_cutoff`, `include`, `batch_size`.

        Raises:
            InvalidInputError: for arguments that cannot be used, or if what is there was made otherwise than asked.
            ModelMismatchError: if what is there was made with other experts.
        """
        _check_values(fields)
        try:
            cls.__pydantic_validator__.validate_python(fields, self_instance=cls.__new__(cls))
        except ValidationError as error:
            raise refuse_validation(UECRescorer, error) from None
        engine = Engine.open_or_create(
            location, experts, recipe, texts=texts, device=device, progress=show_progress
        )
        rescorer = cls(engine=engine, **fields)
        rescorer._owns_engine = True
        return rescorer

    def close(self) -> None:
        """Close the index, for copies too; an engine that was given stays open."""
        if self._owns_engine:
            self._engine.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fields; unpickling opens the index again."""
        names = self.model_fields_set - {"index", "device"}
        fields = {name: getattr(self, name) for name in names}
        opening = (
            {"index": self.index, "device": self.device}
            if self.index is not None
            else {"engine": self._engine}
        )
        return _unpickle, (type(self), {**opening, **fields}, self._owns_engine)

    @classmethod
    def class_name(cls) -> str:
        """Name for LlamaIndex's serialisation."""
        return "UECRescorer"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InvalidInputError("rescoring needs the query: give query_bundle=... or query_str=...")
        if not nodes:
            return []
        texts = [n.node.get_content(metadata_mode=MetadataMode.EMBED) for n in nodes]
        result = self._engine.rescore(query_bundle.query_str, texts, batch_size=self.batch_size)
        names = [nodes[i].node.node_id for i in result.truncated_positions]
        warn_of_truncation(result.truncated, names)
        warn_of_cut_query(result.query_truncated)
        rescored = []
        for position in result.best(self.top_n, self.similarity_cutoff):
            node = annotate(nodes[position].node, result.extras(position), self.include)
            rescored.append(NodeWithScore(node=node, score=float(result.scores[position])))
        return rescored

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._postprocess_nodes, nodes, query_bundle)


def _check_values(fields: Mapping[str, Any]) -> None:
    """Refuse what no index could be used with."""
    check_include(fields.get("include", ()), get_args(RescoringExtra))
    check_min_score(fields.get("similarity_cutoff"))
    check_whole("batch_size", fields.get("batch_size", 32), 1)
    if fields.get("top_n") is not None:
        check_whole("top_n", fields["top_n"], 1)


def _unpickle(cls: type[UECRescorer], fields: dict[str, Any], owns_engine: bool) -> UECRescorer:
    index = fields.get("index")
    with explaining_lost_headers(index if isinstance(index, Location) else None):
        rescorer = cls(**fields)
    rescorer._owns_engine = owns_engine
    return rescorer
