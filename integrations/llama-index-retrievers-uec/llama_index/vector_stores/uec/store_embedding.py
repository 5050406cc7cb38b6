"""StoreEmbedding: what stands where LlamaIndex wants an embedding model, and the store embeds by itself."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding


class StoreEmbedding(BaseEmbedding):
    """Leaves embedding to a `UECVectorStore`: every text is `[0.0]` to it, which that store passes over.

    LlamaIndex stores only nodes that have an embedding, and has one model for a vector store, where an index of ours has
    several. For a `UECVectorStore` and nothing else: to any other store all texts would be alike.
    """

    def __init__(self, **fields: Any) -> None:
        super().__init__(**{"model_name": "the vector store's own", "embed_batch_size": 2048, **fields})

    @classmethod
    def class_name(cls) -> str:
        """Name for LlamaIndex's serialisation."""
        return "StoreEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return [0.0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return [0.0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return [0.0]
