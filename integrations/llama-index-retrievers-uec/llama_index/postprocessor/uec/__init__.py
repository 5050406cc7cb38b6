"""Rescoring of what any retriever returned, for LlamaIndex."""

from llama_index.postprocessor.uec.base import UECRescorer

__all__ = ["UECRescorer"]
