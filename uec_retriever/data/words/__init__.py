"""Text as a lexical index sees it: terms, and where in the text they stand."""

from uec_retriever.data.words.analyzer import ANALYSIS_VERSION, WordAnalyzer, languages

__all__ = ["ANALYSIS_VERSION", "WordAnalyzer", "languages"]
