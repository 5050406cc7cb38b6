"""uec-retriever: retrieval with Gaussian embeddings, which says when not to trust it.

Importing this package loads none of torch, sentence-transformers or chromadb; they come with the
first use of a name below.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uec_retriever.confidence.fit import ConfidenceReport
    from uec_retriever.data.pairs import CalibrationPairs, pseudo_pairs
    from uec_retriever.data.records import Record
    from uec_retriever.data.words import languages
    from uec_retriever.engine.coverage import CoverageReport
    from uec_retriever.engine.engine import Engine
    from uec_retriever.engine.location import Location
    from uec_retriever.engine.recipe import Recipe
    from uec_retriever.engine.results import AddReport, Hit, Rescoring, SearchResult
    from uec_retriever.experts.embedder import Embedder
    from uec_retriever.experts.expert import Expert
    from uec_retriever.experts.fitting import fit_posterior
    from uec_retriever.experts.splitting import split_records
    from uec_retriever.gaussian import GaussianEmbedding
    from uec_retriever.store.lexical_options import LexicalOptions
    from uec_retriever.utility_labeler.labels import Label
    from uec_retriever.utility_labeler.run import label_utilities

_HOMES = {
    "AddReport": "uec_retriever.engine.results",
    "CalibrationPairs": "uec_retriever.data.pairs",
    "ConfidenceReport": "uec_retriever.confidence.fit",
    "CoverageReport": "uec_retriever.engine.coverage",
    "Embedder": "uec_retriever.experts.embedder",
    "Engine": "uec_retriever.engine.engine",
    "Expert": "uec_retriever.experts.expert",
    "GaussianEmbedding": "uec_retriever.gaussian",
    "Hit": "uec_retriever.engine.results",
    "LexicalOptions": "uec_retriever.store.lexical_options",
    "Location": "uec_retriever.engine.location",
    "Label": "uec_retriever.utility_labeler.labels",
    "Recipe": "uec_retriever.engine.recipe",
    "Rescoring": "uec_retriever.engine.results",
    "Record": "uec_retriever.data.records",
    "SearchResult": "uec_retriever.engine.results",
    "fit_posterior": "uec_retriever.experts.fitting",
    "label_utilities": "uec_retriever.utility_labeler.run",
    "languages": "uec_retriever.data.words",
    "pseudo_pairs": "uec_retriever.data.pairs",
    "split_records": "uec_retriever.experts.splitting",
}
__version__ = version("uec-retriever")
__all__ = [
    "AddReport",
    "CalibrationPairs",
    "ConfidenceReport",
    "CoverageReport",
    "Embedder",
    "Engine",
    "Expert",
    "GaussianEmbedding",
    "Hit",
    "Label",
    "LexicalOptions",
    "Location",
    "Recipe",
    "Record",
    "Rescoring",
    "SearchResult",
    "__version__",
    "fit_posterior",
    "label_utilities",
    "languages",
    "pseudo_pairs",
    "split_records",
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
