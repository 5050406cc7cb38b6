"""From a text to the terms of a lexical index."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import chain
from operator import itemgetter
from string import punctuation
from typing import Any, Generic, TypeVar

import Stemmer

from uec_retriever.data.words.normalization import fold, normalize, original_span
from uec_retriever.data.words.segmentation import Kind, segments
from uec_retriever.data.words.stop_words import stop_words_of
from uec_retriever.errors import InvalidInputError, show

ANALYSIS_VERSION = 1
"""Raised whenever any text gets other terms than before."""
LONGEST_TERM = 64
"""Characters; longer terms are cut, so that equal texts still have equal terms."""
Span = tuple[str, int, int]
"""A term, and the start and end of its word in the text."""
_CACHED_TERMS = 1 << 16
_CACHED_SPANS = 1 << 13
_LONGEST_CACHED = 64
_ASCII_LANGUAGES = frozenset(("english", "porter", "indonesian"))  # their stemmers know no accents
_JOINTS = str.maketrans("", "", "-_'")
_BEFORE = "".join(set(punctuation) - set("._"))  # these begin no term
_AFTER = "".join(set(punctuation) - set("_+#"))  # these end none
_PLAIN = re.compile("[A-Za-z][a-z]*|[A-Z]+")  # most chunks: a short cut, nothing else
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")  # likewise
_CHUNK = re.compile(r"\S+")  # what str.split() gives
T = TypeVar("T")


@dataclass(frozen=True)
class WordAnalyzer:
    """Turns texts into index terms, the same way for passages and for queries.

    - Unicode words, in NFKC, casefolded, stemmed by Snowball, without accents; marks that are letters (Hindi, Thai)
      stay. Invisible characters vanish.
    - Overlapping bigrams of characters for Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese.
    - Identifiers and compounds whole and in parts: `getUserName` gives getusername, get, user, name. A whole is not
      stemmed, and has no hyphens, underscores and apostrophes, so that `user_name` and `userName` are the same; a
      lower-case compound (`e-mails`) is stemmed as the word that it also is (`emails`). Parts by case or digits of
      one character are left out.
    - The article of `l'homme` and the verb of `we're` are dropped; `don't` is dont.

    Whole and parts all count, as terms and in a document's length, `len(terms(text))`: the length stays the sum of the
    term frequencies, and an identifier of n parts mostly counts 1 + n, and never more than about 2 n.

    Safe to share between threads; equal ones share their cache.

    Attributes:
        language: of `languages()`; `None` for no stemming and no stop words.
        stop_words: whether function words are left out, where there is a list: English, Dutch, French, German, Italian,
            Portuguese, Spanish.
    """

    language: str | None = "english"
    stop_words: bool = True

    def __post_init__(self) -> None:
        if self.language is not None and self.language not in languages():
            raise InvalidInputError(
                f"there is no stemmer for language {show(self.language)}: "
                f"choose None for no stemming, or one of {', '.join(languages())}"
            )
        if not isinstance(self.stop_words, bool):
            raise InvalidInputError(f"stop_words must be True or False, got {show(self.stop_words)}")

    def terms(self, text: str) -> list[str]:
        """Index terms of a text, in order, with repeats; none for punctuation or stop words alone.

        Args:
            text: anything.

        Returns:
            Non-empty terms of at most `LONGEST_TERM` characters.
        """
        cached = _analysis(self.language, self.stop_words).terms
        return list(chain.from_iterable(map(cached.__getitem__, text.split())))

    def spans(self, text: str) -> list[Span]:
        """The terms of `terms`, and where their words stand.

        Args:
            text: anything.

        Returns:
            (term, start, end) in characters of the text, 0 <= start < end <= len(text), in order of start; spans
            of an identifier and of its parts overlap, and so do those of bigrams.
        """
        cached = _analysis(self.language, self.stop_words).spans
        return [
            (term, match.start() + start, match.start() + end)
            for match in _CHUNK.finditer(text)
            for term, start, end in cached[match[0]]
        ]

    def matched(self, terms: Collection[str], text: str) -> list[tuple[int, int]]:
        """Where a text has given terms, to be highlighted.

        Args:
            terms: such as the terms of a query.
            text: anything.

        Returns:
            (start, end) in characters of the text, in order, neither overlapping nor touching.
        """
        wanted = frozenset(terms)
        merged: list[tuple[int, int]] = []
        for term, start, end in self.spans(text):
            if term not in wanted:
                continue
            if merged and start <= merged[-1][1]:
                start, end = merged[-1][0], max(end, merged.pop()[1])
            merged.append((start, end))
        return merged

    def settings(self) -> dict[str, Any]:
        """What an index must remember: it can only be asked with the same. Plain JSON."""
        return {
            "version": ANALYSIS_VERSION,
            "language": self.language,
            "stop_words": self.stop_words,
            "stemmer": _stemmer_release() if self.language is not None else None,
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> WordAnalyzer:
        """The analyzer of an index.

        Args:
            settings: of `settings`.

        Raises:
            InvalidInputError: for settings of another version of the analysis, or of another release of the stemmers,
                which may give other terms; or for what are no settings.
        """
        try:
            analyzer = cls(settings["language"], settings["stop_words"])
        except (KeyError, TypeError) as error:
            raise InvalidInputError(f"no settings of a WordAnalyzer: {show(settings)}") from error
        now = analyzer.settings()
        if dict(settings) != now:
            raise InvalidInputError(
                f"the words were analyzed by {show(dict(settings))}, here they would be by {show(now)}: index them anew"
            )
        return analyzer


@cache
def languages() -> tuple[str, ...]:
    """Languages that the installed PyStemmer has a stemmer for, sorted."""
    return tuple(sorted(Stemmer.algorithms()))


@cache
def _stemmer_release() -> str:
    """Major and minor version of the installed stemmers: a patch changes no stems.

    That of the distribution, since `Stemmer.version()` of PyStemmer 2.2 says 2.0.1.
    """
    return ".".join(version("PyStemmer").split(".")[:2])


class _Cache(dict[str, T], Generic[T]):
    """A function of short strings, remembered; emptied when full, which words, being Zipf-distributed, hardly notice."""

    def __init__(self, function: Callable[[str], T], size: int) -> None:
        super().__init__()
        self._function, self._size = function, size

    def __missing__(self, key: str) -> T:
        value = self._function(key)
        if len(key) <= _LONGEST_CACHED:
            if len(self) >= self._size:
                self.clear()
            self[key] = value
        return value


class _Analysis:
    """The analysis of chunks, texts without white space, with its caches."""

    def __init__(self, language: str | None, stop_words: bool) -> None:
        self._language = language
        self._stop_words = stop_words_of(language) if stop_words else frozenset()
        self._thread = threading.local()  # a stemmer must not be used by two threads at once
        self._words = _Cache(self._word, _CACHED_TERMS)
        self.terms = _Cache(self._terms, _CACHED_TERMS)
        self.spans = _Cache(self._spans, _CACHED_SPANS)

    def _terms(self, chunk: str) -> tuple[str, ...]:
        core = chunk.lstrip(_BEFORE).rstrip(_AFTER)
        if core != chunk:
            return self.terms[core]
        if _PLAIN.fullmatch(chunk):
            term = self._words[chunk]
            return (term,) if term else ()
        if _NUMBER.fullmatch(chunk):
            return (chunk[:LONGEST_TERM],)
        return tuple([term for term, _, _ in self._cut(chunk)])

    def _spans(self, chunk: str) -> tuple[Span, ...]:
        core = chunk.lstrip(_BEFORE)
        before = len(chunk) - len(core)
        core = core.rstrip(_AFTER)
        if _PLAIN.fullmatch(core):
            term = self._words[core]
            return ((term, before, before + len(core)),) if term else ()
        return tuple(self._cut(chunk))

    def _cut(self, chunk: str) -> list[Span]:
        text, edits = normalize(chunk)
        found: list[Span] = []
        for kind, segment, start, end in segments(text):
            if kind is Kind.WORD:
                term = self._words[segment]
            else:
                term = segment if kind is Kind.BIGRAM else self._whole(segment)
            if term:
                found.append((term[:LONGEST_TERM], *original_span(edits, start, end)))
        return sorted(found, key=itemgetter(1))

    def _casefold(self, text: str) -> str:
        text = text[: 4 * LONGEST_TERM]  # of the rest nothing can stay
        if self._language == "turkish":
            text = text.replace("I", "ı").replace("İ", "i")
        return text.casefold()

    def _whole(self, text: str) -> str:
        folded = fold(self._casefold(text)).replace(",", "")
        joined = folded.translate(_JOINTS)
        return joined if joined.isalnum() else folded

    def _word(self, text: str) -> str:
        """The term of a word, empty for a stop word."""
        text = self._casefold(text)
        if not text.isalpha():
            text = text.translate(_JOINTS)
        folded = fold(text)
        if folded in self._stop_words:
            return ""
        if self._language is None:
            return folded[:LONGEST_TERM]
        return fold(self._stem(folded if self._language in _ASCII_LANGUAGES else text))[:LONGEST_TERM]

    def _stem(self, word: str) -> str:
        if not hasattr(self._thread, "stemmer"):
            self._thread.stemmer = Stemmer.Stemmer(self._language, 0)  # words are remembered here, not there
        stem: str = self._thread.stemmer.stemWord(word)
        return stem


@cache
def _analysis(language: str | None, stop_words: bool) -> _Analysis:
    return _Analysis(language, stop_words)
