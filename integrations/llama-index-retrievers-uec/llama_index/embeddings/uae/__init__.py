"""Any sentence-transformers model as an embedding of LlamaIndex, meant for utility-aligned ones."""

from llama_index.embeddings.uae.base import UAEEmbedding

__all__ = ["UAEEmbedding"]
