"""The retriever that `UECVectorStore.as_retriever` gives."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStoreRetriever

from langchain_uec.together import SearchesTogether, take_together


class UECStoreRetriever(SearchesTogether, VectorStoreRetriever):
    """LangChain's retriever over a vector store, whose `batch` searches for all queries at once."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **given: Any
    ) -> list[Document]:
        with take_together(given).lent():
            return super()._get_relevant_documents(query, run_manager=run_manager, **given)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **given: Any
    ) -> list[Document]:
        with take_together(given).lent():
            return await super()._aget_relevant_documents(query, run_manager=run_manager, **given)
