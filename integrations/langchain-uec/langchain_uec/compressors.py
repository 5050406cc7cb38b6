"""UECRescorer: rescores what any other retriever returned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import ConfigDict

from langchain_uec.documents import METADATA_KEYS, check_threshold
from langchain_uec.opening import Opening, OpensEngine, made

if TYPE_CHECKING:
    from langchain_uec.opening import Experts


class UECRescorer(OpensEngine, BaseDocumentCompressor):
    """Orders documents of any origin by the uncertainty-aware similarity of the experts of an index.

    The documents need not be in the index: what is used of it is its experts and their calibration.
    `UECRescorer.from_experts` makes one when there is none.

    Example:
        ```python
        rescorer = UECRescorer(index="idx", top_n=5, include=["score"])
        retriever = ContextualCompressionRetriever(base_compressor=rescorer, base_retriever=bm25)
        ```

    Attributes:
        top_n: keep this many, best first; all if None.
        score_threshold: leave out documents whose score is lower; scores lie in [0, 1], higher is better.
        include: values to put into the metadata, any of `score`, `deviation` and `coefficients`, under the keys
            that `UECRetriever` has for them. What stands there already, say by an earlier stage, is replaced.
        batch_size: texts in one forward pass.

    Raises:
        InvalidInputError: for an option out of range.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

    top_n: int | None = None
    score_threshold: float | None = None
    include: Sequence[Literal["score", "deviation", "coefficients"]] = ()
    batch_size: int = 32

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        check_threshold(self.score_threshold)
        if self.top_n is not None:
            self.engine.check_options(self.top_n)

    @classmethod
    def from_experts(
        cls,
        experts: Experts,
        path: str | Path | None = None,
        *,
        texts: Iterable[str] = (),
        pairs: Any = None,
        device: str | None = None,
        trust_remote_code: bool = False,
        structure: str | None = None,
        layout: Literal["block", "sum"] | None = None,
        temperature: float | None = None,
        **options: Any,
    ) -> Self:
        """Calibrate experts on texts like those to be rescored; nothing is indexed.

        Args:
            experts: hub ids, folders, loaded experts or `UAEEmbedding`s.
            path: folder to keep the calibration in, used again next time; a temporary one if None.
            texts: what calibration pairs are made from, a few hundred are enough.
            pairs: calibration pairs of your own, instead.
            device: torch device of the experts.
            trust_remote_code: run code that comes with the models. Off unless you say so.
            structure: of the posteriors, `kron` or `diag`.
            layout: `block`, or `sum` for experts of one coordinate system.
            temperature: T of the coefficients; chosen on held-out pairs if None.
            **options: of the rescorer, e.g. `top_n`.
        """
        unknown = sorted(set(options) - set(cls.model_fields))
        if unknown:
            raise TypeError(f"from_experts() got an unexpected keyword argument {unknown[0]!r}")
        place = None if path is None else Path(path).expanduser().resolve()
        _, fields = made(
            experts,
            texts,
            Opening(place, device=device, trust_remote_code=trust_remote_code),
            pairs=pairs,
            structure=structure,
            layout=layout,
            temperature=temperature,
        )
        return cls(**fields, **options)

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
        rescored = self.engine.rescore(
            query, [document.page_content for document in documents], batch_size=self.batch_size
        )
        kept = []
        for i in np.argsort(-rescored.scores, kind="stable")[: self.top_n]:
            score = float(rescored.scores[i])
            if self.score_threshold is not None and score < self.score_threshold:
                break
            values: Mapping[str, Any] = {
                "score": score,
                "deviation": float(rescored.deviations[i]),
                "coefficients": dict(rescored.coefficients),
            }
            ours = {METADATA_KEYS[name]: values[name] for name in self.include}
            kept.append(documents[i].model_copy(update={"metadata": {**documents[i].metadata, **ours}}))
        return kept

    def as_runnable(self) -> Runnable[dict[str, Any], list[Document]]:
        """For chains: takes `{"documents": ..., "query": ...}`."""

        def compress(given: dict[str, Any]) -> list[Document]:
            return self.compress_documents(given["documents"], given["query"])

        async def acompress(given: dict[str, Any]) -> list[Document]:
            return list(await self.acompress_documents(given["documents"], given["query"]))

        return RunnableLambda(compress, acompress, name=type(self).__name__)
