"""UEC for LlamaIndex: a retriever over several embedding models at once, weighted per query."""

from llama_index.retrievers.uec.base import UECRetriever
from llama_index.retrievers.uec.filters import chroma_filter
from llama_index.retrievers.uec.tools import ToolRetriever

__all__ = ["ToolRetriever", "UECRetriever", "chroma_filter"]
