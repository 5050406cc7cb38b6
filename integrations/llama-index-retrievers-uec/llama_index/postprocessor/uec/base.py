"""UECRescorer: scores what any other retriever returned with the uncertainty-aware similarity."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr, SecretStr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index.retrievers.uec.extras import annotated, check_include
from llama_index.retrievers.uec.options import revealed

from uec_retriever import CalibrationPairs, Engine, Expert
from uec_retriever.errors import InvalidInputError

_EXTRAS = ("score", "raw_score", "deviation", "coefficients")


class UECRescorer(BaseNodePostprocessor):
    """Rescores nodes with the experts of an index, best first; the nodes need not be in the index.

    Give `engine` or `index`; `from_experts` makes one for those who have no index of ours. Scores lie in
    [0, 1], higher is better, and replace the retriever's.

    Raises:
        InvalidInputError: for arguments that cannot be used.
        UECError: as `Engine.open`.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    index: str | None = Field(default=None, description="Folder of an index.")
    top_n: int | None = Field(default=None, ge=1, description="How many nodes to keep; all if None.")
    similarity_cutoff: float | None = Field(default=None, description="Drop nodes of a lower score.")
    include: list[str] = Field(
        default_factory=list,
        description="Any of 'score', 'raw_score', 'deviation', 'coefficients': put into the metadata of returned "
        "nodes as 'uec_score' and so on, hidden from LLM and embedding model.",
    )
    batch_size: int = Field(default=32, ge=1, description="Texts in one forward pass.")
    device: str | None = Field(default=None, description="Torch device for the experts.")
    trust_remote_code: bool = Field(default=False, description="Run code that comes with the models.")
    url: str | None = Field(default=None, description="Of a Chroma server; embedded in the folder if None.")
    headers: dict[str, SecretStr] | None = Field(default=None, exclude=True, description="For the server.")
    collection: str = Field(default="uec", description="Name of the Chroma collection.")
    _engine: Engine = PrivateAttr()

    def __init__(
        self, index: str | Path | None = None, *, engine: Engine | None = None, **fields: Any
    ) -> None:
        if (index is None) == (engine is None):
            raise InvalidInputError("give the folder of an index or an engine, one of them")
        check_include(fields.get("include", ()), _EXTRAS)
        super().__init__(**{"index": None if index is None else str(index), **fields})
        if engine is None:
            assert index is not None
            engine = Engine.open(
                index,
                device=self.device,
                trust_remote_code=self.trust_remote_code,
                url=self.url,
                headers=revealed(self.headers),
                collection=self.collection,
            )
        self._engine = engine

    @classmethod
    def from_experts(
        cls,
        experts: Sequence[Expert | str | Path],
        path: str | Path | None = None,
        *,
        texts: Iterable[str] = (),
        pairs: CalibrationPairs | None = None,
        posteriors: Mapping[str, str | Path] | None = None,
        **fields: Any,
    ) -> UECRescorer:
        """A rescorer without an index: fits the experts, or takes those that were fitted before.

        Args:
            experts: loaded, or by hub id or folder.
            path: where to keep what was fitted; temporary if None.
            texts: of your corpus, to calibrate on; documentation of the Python standard library if too few.
            pairs: calibration pairs of your own.
            posteriors: expert label -> posterior file, for those not to be fitted here.
            **fields: as the class.
        """
        engine = Engine.open_or_create(
            path,
            experts,
            texts=texts,
            pairs=pairs,
            posteriors=posteriors,
            device=fields.get("device"),
            trust_remote_code=fields.get("trust_remote_code", False),
        )
        return cls(engine=engine, **fields)

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
        rescored = []
        for row in np.argsort(-result.raw_scores, kind="stable")[: self.top_n]:
            score = float(result.scores[row])
            if self.similarity_cutoff is not None and score < self.similarity_cutoff:
                break
            known: dict[str, Any] = {
                "score": score,
                "raw_score": float(result.raw_scores[row]),
                "deviation": float(result.deviations[row]),
                "coefficients": result.coefficients,
            }
            node = annotated(nodes[row].node, {name: known[name] for name in self.include})
            rescored.append(NodeWithScore(node=node, score=score))
        return rescored

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._postprocess_nodes, nodes, query_bundle)
