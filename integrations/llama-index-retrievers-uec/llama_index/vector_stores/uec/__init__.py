"""An index of several embedding models as a vector store of LlamaIndex."""

from llama_index.vector_stores.uec.base import UECVectorStore
from llama_index.vector_stores.uec.store_embedding import StoreEmbedding

__all__ = ["StoreEmbedding", "UECVectorStore"]
