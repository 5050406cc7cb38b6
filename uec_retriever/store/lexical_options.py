"""LexicalOptions: how words are an expert of an index; a part of its manifest."""

from __future__ import annotations

from dataclasses import dataclass

from uec_retriever.checks.numbers import check_number, check_temperature
from uec_retriever.checks.rows import ROW
from uec_retriever.data.words import WordAnalyzer

WORDS = "words"
"""What words are called among the experts."""


@dataclass(frozen=True)
class LexicalOptions:
    """Words as an expert.

    Attributes:
        language: of the stemmer and stop words, such as `english` (`uec_retriever.languages()` has them all); None for
            no stemming and no stop words.
        stop_words: whether function words are left out, where there is a list.
        k1: how late repetitions of a word saturate, >= 0.
        b: how much longer texts are discounted, in [0, 1].
        share: pi0, prior of words among the experts, in [0, 1]; the others divide the rest.
        zero: u0 of words, what their uncertainty is for an ordinary query.
        temperature: T >= 0 between words and the others; infinite for the prior.

    Raises:
        InvalidInputError: for a language without a stemmer, or numbers out of range.
    """

    __pydantic_config__ = ROW

    language: str | None = "english"
    stop_words: bool = True
    k1: float = 0.6
    b: float = 0.4
    share: float = 0.5
    zero: float = 0.0
    temperature: float = float("inf")

    def __post_init__(self) -> None:
        WordAnalyzer(self.language, self.stop_words)
        check_number("k1", self.k1, "from 0 to 1,000,000", 0, 1e6)
        check_number("b", self.b, "from 0 to 1", 0, 1)
        check_number("the lexical share", self.share, "in [0, 1]", 0, 1)
        check_number("the lexical zero", self.zero, "a finite number", -1e6, 1e6)
        check_temperature(self.temperature)

    @property
    def analyzer(self) -> WordAnalyzer:
        """What makes terms of texts."""
        return WordAnalyzer(self.language, self.stop_words)
