"""uec-retriever for LangChain: a retriever, a vector store, an embedding and a document compressor.

Importing this package loads none of torch, sentence-transformers or chromadb; they come with the first object.
"""

from importlib.metadata import version

from langchain_uec.compressors import UECRescorer
from langchain_uec.documents import METADATA_KEYS
from langchain_uec.embeddings import UAEEmbedding
from langchain_uec.retrievers import UECRetriever
from langchain_uec.vectorstores import UECVectorStore
from uec_retriever.engine.results import NO_EVIDENCE_ID

__version__ = version("langchain-uec")
__all__ = [
    "METADATA_KEYS",
    "NO_EVIDENCE_ID",
    "UAEEmbedding",
    "UECRescorer",
    "UECRetriever",
    "UECVectorStore",
    "__version__",
]
