"""The lexical index beside Chroma: an inverted index of the same records, derived from it."""

from uec_retriever.store.lexical.index import LexicalIndex

__all__ = ["LexicalIndex"]
