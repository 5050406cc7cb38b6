"""UEC for LlamaIndex: a retriever over several embedding models at once, weighted per query."""

from llama_index.retrievers.uec.base import UECRetriever
from llama_index.retrievers.uec.filters import chroma_filter
from llama_index.retrievers.uec.tools import ToolRetriever

from uec_retriever.engine.results import NO_EVIDENCE_ID

__all__ = ["NO_EVIDENCE_ID", "ToolRetriever", "UECRetriever", "chroma_filter"]
