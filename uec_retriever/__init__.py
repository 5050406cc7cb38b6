"""uec-retriever: retrieval with Gaussian embeddings, which says when not to trust it.

Importing this package loads none of torch, sentence-transformers or chromadb; they come with the
first use of a name below.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uec_retriever.confidence_fitting import ConfidenceReport
    from uec_retriever.encoders.embedder import Embedder
    from uec_retriever.encoders.expert import Expert
    from uec_retriever.engine import Engine
    from uec_retriever.fitting import fit_posterior
    from uec_retriever.gaussian import GaussianEmbedding
    from uec_retriever.pairs import CalibrationPairs, pseudo_pairs
    from uec_retriever.results import AddReport, Hit, Rescoring, SearchResult
    from uec_retriever.store.records import Record
    from uec_retriever.utility_labeler.labels import Label
    from uec_retriever.utility_labeler.run import label_utilities

_HOMES = {
    "AddReport": "uec_retriever.results",
    "CalibrationPairs": "uec_retriever.pairs",
    "ConfidenceReport": "uec_retriever.confidence_fitting",
    "Embedder": "uec_retriever.encoders.embedder",
    "Engine": "uec_retriever.engine",
    "Expert": "uec_retriever.encoders.expert",
    "GaussianEmbedding": "uec_retriever.gaussian",
    "Hit": "uec_retriever.results",
    "Label": "uec_retriever.utility_labeler.labels",
    "Rescoring": "uec_retriever.results",
    "Record": "uec_retriever.store.records",
    "SearchResult": "uec_retriever.results",
    "fit_posterior": "uec_retriever.fitting",
    "label_utilities": "uec_retriever.utility_labeler.run",
    "pseudo_pairs": "uec_retriever.pairs",
}
__version__ = "0.1.0"
__all__ = [
    "AddReport",
    "CalibrationPairs",
    "ConfidenceReport",
    "Embedder",
    "Engine",
    "Expert",
    "GaussianEmbedding",
    "Hit",
    "Label",
    "Record",
    "Rescoring",
    "SearchResult",
    "__version__",
    "fit_posterior",
    "label_utilities",
    "pseudo_pairs",
]


_FRAMEWORK_CLASSES = {
    "UECRetriever": (
        "from langchain_uec import UECRetriever",
        "from llama_index.retrievers.uec import UECRetriever",
    ),
    "UAEEmbedding": (
        "from langchain_uec import UAEEmbedding",
        "from llama_index.embeddings.uae import UAEEmbedding",
    ),
}


def __getattr__(name: str) -> Any:
    if name in _FRAMEWORK_CLASSES:
        langchain, llama_index = _FRAMEWORK_CLASSES[name]
        raise ImportError(
            f"uec_retriever has no {name} of its own, each framework has one:\n"
            f"  LangChain:  pip install langchain-uec                 {langchain}\n"
            f"  LlamaIndex: pip install llama-index-retrievers-uec    {llama_index}\n"
            "Without a framework, use uec_retriever.Engine."
        )
    if name not in _HOMES:
        raise AttributeError(f"module 'uec_retriever' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
