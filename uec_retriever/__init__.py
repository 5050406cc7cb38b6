"""uec-retriever: retrieval with Gaussian embeddings, which says when not to trust it.

Importing this package loads none of torch, sentence-transformers or chromadb; they come with the
first use of a name below.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uec_retriever.encoders.expert import Expert
    from uec_retriever.engine import Engine
    from uec_retriever.fitting import fit_posterior
    from uec_retriever.gaussian import GaussianEmbedding
    from uec_retriever.pairs import CalibrationPairs, pseudo_pairs
    from uec_retriever.results import AddReport, Hit, SearchResult
    from uec_retriever.store.records import Record
    from uec_retriever.utility_labeler.labels import Label
    from uec_retriever.utility_labeler.run import label_utilities

_HOMES = {
    "AddReport": "uec_retriever.results",
    "CalibrationPairs": "uec_retriever.pairs",
    "Engine": "uec_retriever.engine",
    "Expert": "uec_retriever.encoders.expert",
    "GaussianEmbedding": "uec_retriever.gaussian",
    "Hit": "uec_retriever.results",
    "Label": "uec_retriever.utility_labeler.labels",
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
    "Engine",
    "Expert",
    "GaussianEmbedding",
    "Hit",
    "Label",
    "Record",
    "SearchResult",
    "__version__",
    "fit_posterior",
    "label_utilities",
    "pseudo_pairs",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'uec_retriever' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
