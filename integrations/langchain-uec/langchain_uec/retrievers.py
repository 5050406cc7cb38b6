"""UECRetriever: an index of uec-retriever as a LangChain retriever."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from pydantic import ConfigDict, SecretStr

from langchain_uec.documents import Include, check_threshold, found_documents, make_records
from langchain_uec.opening import Opening, OpensEngine, made, secret_headers

if TYPE_CHECKING:
    from langchain_uec.opening import Experts
    from uec_retriever import CalibrationPairs
    from uec_retriever.convolution import Layout


class UECRetriever(OpensEngine, BaseRetriever):
    """Searches with several embedding models at once, weighted per query by how sure each one is.

    `k`, `filter`, `score_threshold`, `fetch_k` and `temperature` can be given for one call too:
    `retriever.invoke("query", k=3, filter={"year": {"$gte": 2020}})`. What is None there comes from the
    retriever; `filter={}` lifts its filter. Safe under threads; asynchronous calls do not block the event loop.

    Example:
        ```python
        retriever = UECRetriever.from_texts(texts, ["sentence-transformers/all-MiniLM-L6-v2"], "idx")
        retriever = UECRetriever(index="idx", k=5, include=["score", "deviation"])
        for document in retriever.invoke("what is a boundary layer?"):
            print(document.metadata["uec_score"], document.id, document.page_content)
        ```

    Attributes:
        k: at most this many documents, best first.
        filter: Chroma's metadata filter.
        score_threshold: leave out documents whose score is lower; scores lie in [0, 1], higher is better.
        fetch_k: candidates to fetch from Chroma and rescore; `max(30, 2 k)` if None.
        temperature: T of the coefficients instead of the index's own; low trusts the surest expert alone.
        include: values to add to the metadata, any of

            - `score` under `uec_score`: in [0, 1], higher is better;
            - `deviation` under `uec_deviation`: standard deviation of the similarity, which lies in [-1, 1]
              (half of it is the score's);
            - `coefficients` under `uec_coefficients`: expert label -> share of trust, of the query;
            - `confidence` under `uec_confidence`: probability that a right answer was found, of the query;
              None if the index has no calibrated confidence.

    Raises:
        InvalidInputError: for a `k`, `fetch_k`, `temperature` or `score_threshold` out of range.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

    k: int = 4
    filter: dict[str, Any] | None = None
    score_threshold: float | None = None
    fetch_k: int | None = None
    temperature: float | None = None
    include: Sequence[Include] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        check_threshold(self.score_threshold)
        self.engine.check_options(self.k, candidates=self.fetch_k, temperature=self.temperature)

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        experts: Experts | None = None,
        path: str | Path | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        pairs: CalibrationPairs | None = None,
        posteriors: Mapping[str, str | Path] | None = None,
        structure: str | None = None,
        layout: Layout | None = None,
        temperature: float | None = None,
        device: str | None = None,
        trust_remote_code: bool = False,
        url: str | None = None,
        headers: Mapping[str, str | SecretStr] | None = None,
        client: Any = None,
        collection: str = "uec",
        batch_size: int = 32,
        **options: Any,
    ) -> Self:
        """Make an index of texts, or add them to the one that is there; what is there already stays as it is.

        Args:
            texts: non-empty strings.
            experts: hub ids, folders, loaded experts or `UAEEmbedding`s; an index that is there needs none.
            path: folder of the index; a temporary one, gone with the retriever, if None.
            ids: one for each text; where None, made from text and metadata.
            metadatas: one for each text, flat.
            pairs: calibration pairs of your own; made from the texts if None.
            posteriors: expert label -> posterior file, for those not to be fitted here.
            structure: of fitted posteriors, `kron` or `diag`.
            layout: `block`, or `sum` for experts of one coordinate system.
            temperature: T of the index's coefficients; chosen on held-out pairs if None.
            device: torch device of the experts.
            trust_remote_code: run code that comes with the models. Off unless you say so.
            url: of a Chroma server, instead of a database in the folder.
            headers: for the server.
            client: a Chroma client of your own, instead of `url`.
            collection: name of the Chroma collection.
            batch_size: texts in one forward pass.
            **options: of the retriever, e.g. `k`, `filter`, `include`.

        Raises:
            InvalidInputError: for a bad text, id, metadata or option, or if there is no index and no expert.
            ModelMismatchError: if the index that is there was made with other experts.
        """
        unknown = sorted(set(options) - set(cls.model_fields))
        if unknown:
            raise TypeError(f"from_texts() got an unexpected keyword argument {unknown[0]!r}")
        records, _ = make_records(texts, ids, metadatas)
        opening = Opening(
            None if path is None else Path(path).expanduser().resolve(),
            device=device,
            trust_remote_code=trust_remote_code,
            url=url,
            headers=secret_headers(headers),
            client=client,
            collection=collection,
        )
        engine, fields = made(
            experts,
            (record.text for record in records),
            opening,
            pairs=pairs,
            posteriors=posteriors,
            structure=structure,
            layout=layout,
            temperature=temperature,
            batch_size=batch_size,
        )
        retriever = cls(**fields, **options)
        engine.add_records(records, update=True, batch_size=batch_size)
        return retriever

    @classmethod
    def from_documents(
        cls,
        documents: Sequence[Document],
        experts: Experts | None = None,
        path: str | Path | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **options: Any,
    ) -> Self:
        """Make an index of documents, or add them to the one that is there.

        Args:
            documents: with or without ids; without, one is made from text and metadata.
            experts: as `from_texts`.
            path: as `from_texts`.
            ids: instead of the documents' own.
            **options: as `from_texts`.
        """
        return cls.from_texts(
            [document.page_content for document in documents],
            experts,
            path,
            ids=[document.id for document in documents] if ids is None else ids,
            metadatas=[document.metadata for document in documents],
            **options,
        )

    def add_documents(
        self, documents: Sequence[Document], *, ids: Sequence[str | None] | None = None, batch_size: int = 32
    ) -> list[str]:
        """Add documents; one whose id is there replaces it, and adding twice changes nothing.

        Args:
            documents: with or without ids; without, one is made from text and metadata.
            ids: instead of the documents' own.
            batch_size: texts in one forward pass.

        Returns:
            The id of each.

        Raises:
            InvalidInputError: for a text, id or metadata that cannot be stored; nothing is stored then.
        """
        records, named = make_records(
            [document.page_content for document in documents],
            [document.id for document in documents] if ids is None else ids,
            [document.metadata for document in documents],
        )
        self.engine.add_records(records, update=True, batch_size=batch_size)
        return named

    async def aadd_documents(
        self, documents: Sequence[Document], *, ids: Sequence[str | None] | None = None, batch_size: int = 32
    ) -> list[str]:
        """`add_documents` in a thread."""
        return await asyncio.to_thread(self.add_documents, documents, ids=ids, batch_size=batch_size)

    def delete(self, ids: Sequence[str] | None = None, *, filter: Mapping[str, Any] | None = None) -> int:
        """Delete documents by id or by metadata filter; unknown ids are passed over.

        Returns:
            How many were deleted.
        """
        return self.engine.delete(ids, filter)

    async def adelete(
        self, ids: Sequence[str] | None = None, *, filter: Mapping[str, Any] | None = None
    ) -> int:
        """`delete` in a thread."""
        return await asyncio.to_thread(self.delete, ids, filter=filter)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: dict[str, Any] | None = None,
        score_threshold: float | None = None,
        fetch_k: int | None = None,
        temperature: float | None = None,
    ) -> list[Document]:
        options = self._search_options(k, filter, fetch_k, temperature)
        threshold = self._threshold(score_threshold)
        return found_documents(self.engine.search(query, **options), self.include, threshold)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: dict[str, Any] | None = None,
        score_threshold: float | None = None,
        fetch_k: int | None = None,
        temperature: float | None = None,
    ) -> list[Document]:
        options = self._search_options(k, filter, fetch_k, temperature)
        threshold = self._threshold(score_threshold)
        return found_documents(await self.engine.asearch(query, **options), self.include, threshold)

    def _search_options(
        self, k: int | None, filter: dict[str, Any] | None, fetch_k: int | None, temperature: float | None
    ) -> dict[str, Any]:
        return {
            "k": self.k if k is None else k,
            "where": self.filter if filter is None else filter,
            "candidates": self.fetch_k if fetch_k is None else fetch_k,
            "temperature": self.temperature if temperature is None else temperature,
        }

    def _threshold(self, score_threshold: float | None) -> float | None:
        return self.score_threshold if score_threshold is None else score_threshold

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = "Chroma"
        params["ls_embedding_provider"] = "uec"
        params["ls_embedding_model"] = "+".join(self.engine.ensemble.labels)
        return params
