"""The half of the retriever that adds and deletes documents."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from langchain_uec.documents import make_records, split_documents
from langchain_uec.engines import UsesEngine, add_records
from uec_retriever.engine.existing import Existing


class ChangesDocuments(UsesEngine):
    """An index whose documents can be added and deleted."""

    def add_documents(
        self,
        documents: Sequence[Document],
        *,
        ids: Sequence[str | None] | None = None,
        existing: Existing = "replace",
        batch_size: int = 32,
        show_progress: bool = False,
    ) -> list[str]:
        """Add documents; one whose id is there replaces it, and adding twice changes nothing.

        Args:
            documents: with or without ids; without, one is made from text and metadata.
            ids: instead of the documents' own.
            existing: what becomes of a text whose id is there with other content: the new one takes its place (`replace`),
                the call is refused (`refuse`), or the one that is there stays (`skip`).
            batch_size: texts in one forward pass.
            show_progress: show a bar, if it takes over two seconds.

        Returns:
            The id of each.

        Raises:
            InvalidInputError: for a text, id or metadata that cannot be stored; nothing is stored then.
            IdConflictError: if one id stands for two different texts of the call, or is there with other content and
                `existing` is `refuse`.
        """
        records, named = make_records(*split_documents(documents, ids))
        add_records(self.engine, records, batch_size, existing, show_progress)
        return named

    async def aadd_documents(
        self,
        documents: Sequence[Document],
        *,
        ids: Sequence[str | None] | None = None,
        existing: Existing = "replace",
        batch_size: int = 32,
        show_progress: bool = False,
    ) -> list[str]:
        """Add documents in a thread, so that the event loop goes on.

        Args:
            documents: with or without ids; without, one is made from text and metadata.
            ids: instead of the documents' own.
            existing: what becomes of a text whose id is there with other content: the new one takes its place (`replace`),
                the call is refused (`refuse`), or the one that is there stays (`skip`).
            batch_size: texts in one forward pass.
            show_progress: show a bar, if it takes over two seconds.

        Returns:
            The id of each.
        """
        return await asyncio.to_thread(
            self.add_documents,
            documents,
            ids=ids,
            existing=existing,
            batch_size=batch_size,
            show_progress=show_progress,
        )

    def delete(self, ids: Sequence[str] | None = None, *, filter: Mapping[str, Any] | None = None) -> int:
        """Delete documents by id or by Chroma's metadata filter, one of them; unknown ids are passed over.

        Returns:
            How many were deleted.
        """
        return self.engine.delete(ids, filter)

    async def adelete(
        self, ids: Sequence[str] | None = None, *, filter: Mapping[str, Any] | None = None
    ) -> int:
        """Delete in a thread, by id or by Chroma's metadata filter, one of them.

        Returns:
            How many were deleted.
        """
        return await asyncio.to_thread(self.delete, ids, filter=filter)
