"""UECRescorer: rescores what any other retriever returned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import ConfigDict

from langchain_uec.documents import METADATA_KEYS
from langchain_uec.engines import UsesEngine, make_engine
from uec_retriever.checks.numbers import check_whole
from uec_retriever.data.truncation import warn_of_cut_query, warn_of_truncation
from uec_retriever.engine.location import Location
from uec_retriever.engine.results import RescoringExtra, check_include, check_min_score

if TYPE_CHECKING:
    from langchain_uec.engines import Experts
    from uec_retriever import Recipe


class UECRescorer(UsesEngine, BaseDocumentCompressor):
    """Orders documents of any origin by the uncertainty-aware similarity of the experts of an index.

    The documents need not be in the index: what is used of it is its experts and their calibration.
    `UECRescorer.from_experts` makes one when there is none.

    Example:
        ```python
        rescorer = UECRescorer(index="idx", top_n=5, include=["score"])
        retriever = ContextualCompressionRetriever(base_compressor=rescorer, base_retriever=bm25)
        ```

    Attributes:
        index: folder of the index, or a `Location`; or give `engine`.
        engine: open engine, shared; never serialised.
        experts: expert label -> where its model is now, if it has moved; or the loaded expert or `UAEEmbedding`.
        device: torch device of the experts; sentence-transformers' choice if None.
        top_n: keep this many, best first; all if None.
        score_threshold: leave out documents whose score is lower; scores lie in [0, 1], higher is better.
        include: values to put into the metadata, any of `score`, `raw_score`, `deviation` and `coefficients`, under
            the keys of `METADATA_KEYS`. What stands there already, say by an earlier stage, is replaced; what only a
            search knows (`matched`, `expert_scores`, `confidence`) is left as it is.
        batch_size: texts in one forward pass.

    Raises:
        InvalidInputError: for an option out of range, or if neither index nor engine is given.
        NotAnIndexError: if there is no index of ours.
        ModelMismatchError: if a model is not the one that made the index.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

    top_n: int | None = None
    score_threshold: float | None = None
    include: Sequence[RescoringExtra] = ()
    batch_size: int = 32

    @classmethod
    def _check_values(cls, options: Mapping[str, Any]) -> None:
        check_include(options.get("include", ()), get_args(RescoringExtra))
        check_min_score(options.get("score_threshold"))
        check_whole("batch_size", options.get("batch_size", 32), 1)
        if options.get("top_n") is not None:
            check_whole("top_n", options["top_n"], 1)

    @classmethod
    def from_experts(
        cls,
        experts: Experts,
        location: str | Path | Location | None = None,
        recipe: Recipe | None = None,
        *,
        texts: Iterable[str] = (),
        device: str | None = None,
        show_progress: bool = False,
        **options: Any,
    ) -> Self:
        """Calibrate experts on texts like those to be rescored; nothing is indexed.

        How rare each word is, those that are rescored together tell.

        Args:
            experts: names of models, loaded experts or other `Embeddings`.
            location: folder to keep the calibration in, or a `Location`, used again next time; a temporary folder
                if None.
            recipe: calibration pairs and posteriors of your own, structure, layout, temperature, lexical (words).
            texts: what calibration pairs are made from if the recipe has none, a few hundred are enough.
            device: torch device of the experts; sentence-transformers' choice if None.
            show_progress: show a bar for fitting that takes over two seconds.
            **options: `top_n`, `score_threshold`, `include`, `batch_size`.

        Raises:
            InvalidInputError: for an option out of range, or if what is there was made otherwise than asked.
            ModelMismatchError: if what is there was made with other experts.
        """
        cls._check_options(options, "from_experts")
        _, fields = make_engine(experts, texts, location, recipe, device=device, show_progress=show_progress)
        rescorer = cls(**fields, **options)
        rescorer._owns_engine = True
        return rescorer

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """The documents, best first; they themselves are not changed.

        Args:
            documents: of any retriever.
            query: non-empty.
            callbacks: not used.

        Raises:
            InvalidInputError: for an empty query or an empty document.
        """
        if not documents:
            return []
        texts = [document.page_content for document in documents]
        rescored = self.engine.rescore(query, texts, batch_size=self.batch_size)
        names = [documents[i].id or i for i in rescored.truncated_positions]
        warn_of_truncation(rescored.truncated, names)
        warn_of_cut_query(rescored.query_truncated)
        kept = []
        for position in rescored.best(self.top_n, self.score_threshold):
            document, extras = documents[position], rescored.extras(position)
            ours = {METADATA_KEYS[name]: extras[name] for name in self.include}
            kept.append(document.model_copy(update={"metadata": {**document.metadata, **ours}}))
        return kept

    def as_runnable(self) -> Runnable[dict[str, Any], list[Document]]:
        """For chains: takes `{"documents": ..., "query": ...}`."""

        def compress(given: dict[str, Any]) -> list[Document]:
            return self.compress_documents(given["documents"], given["query"])

        async def acompress(given: dict[str, Any]) -> list[Document]:
            return list(await self.acompress_documents(given["documents"], given["query"]))

        return RunnableLambda(compress, acompress, name=type(self).__name__)
