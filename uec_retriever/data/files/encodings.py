"""Bytes to text, in whatever encoding they are: UTF-8 first, byte order marks, UTF-16 without one, then what is likely."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from uec_retriever.data.sources import open_source

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 2**16
_BLOCK = 2**20
_CHARSET = re.compile(rb"""<(?:meta|\?xml)\b[^>]*?(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]{2,40})""", re.I)
_OF_PYTHON = frozenset({"charmap", "idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"})
_WESTERN = "cp1252"
_UNLIKELY = 0.1  # of the characters are wrong, by charset-normalizer's measure
_FEW = 12  # characters beyond ASCII say too little to prefer a rarer encoding
_USUAL = [_WESTERN, "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256"]
_USUAL += ["shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"]


class BinaryFileError(ValueError):
    """Bytes that are no text in any encoding: they have NULs that UTF-16 does not explain."""


class UnknownEncodingError(ValueError):
    """Bytes that may be a text, in an encoding that cannot be told."""


def decode(data: bytes, *, marked_up: bool = False) -> str:
    """The text of a file, without a byte order mark.

    Args:
        data: all of it.
        marked_up: it is HTML or XML, which may name its encoding.

    Raises:
        BinaryFileError: for what is no text.
        UnknownEncodingError: if no likely encoding fits.
    """
    try:
        text = data.decode(encoding_of(data, marked_up=marked_up))
    except UnicodeError as error:
        raise UnknownEncodingError("its encoding cannot be told: save it as UTF-8") from error
    if "\0" in text:
        raise BinaryFileError("it has NUL characters, as no text has")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def encoding_of(data: bytes, *, marked_up: bool = False) -> str:
    """The encoding of a text, as Python calls it (see `decode`)."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    if b"\0" in data[:_SAMPLE]:
        return _wide(data[:_SAMPLE])
    try:
        data.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError as error:
        wrong = error.start
    if marked_up and (named := _named(data)):
        return named
    return _likely(data[max(0, wrong - _SAMPLE // 2) : wrong + _SAMPLE // 2])


def encoding_of_file(path: Path, most: int | None = None) -> str:
    """The encoding of a file that need not fit into memory, plain or packed.

    Args:
        path: of it.
        most: bytes that are unpacked (see `open_source`).

    Raises:
        BinaryFileError: for what is no text.
        UnknownEncodingError: if no likely encoding fits.
        CorpusError: if it cannot be read.
    """
    with open_source(path, most) as file:
        first = file.read(_BLOCK)
        for mark, encoding in _MARKS:
            if first.startswith(mark):
                return encoding
        if b"\0" in first[:_SAMPLE]:
            return _wide(first[:_SAMPLE])
        decoder = codecs.getincrementaldecoder("utf-8")()
        for block in _blocks(file, first):
            try:
                decoder.decode(block, final=len(block) < _BLOCK)
            except UnicodeDecodeError as error:
                return _likely(block[max(0, error.start - _SAMPLE // 2) : error.start + _SAMPLE // 2])
    return "utf-8"


def _blocks(file: BinaryIO, first: bytes) -> Iterator[bytes]:
    """All of a file whose first block has been read; the last one is shorter than the others, or empty."""
    block = first
    while len(block) == _BLOCK:
        yield block
        block = file.read(_BLOCK)
    yield block


def _wide(data: bytes) -> str:
    """UTF-16 without a mark, by where its NULs are."""
    even, odd = data[::2].count(0), data[1::2].count(0)
    if min(even, odd) * 20 <= max(even, odd) and max(even, odd) * 6 > len(data):
        return "utf-16-be" if even > odd else "utf-16-le"
    raise BinaryFileError("it has NUL bytes, as no text has")


def _named(data: bytes) -> str | None:
    """The encoding that HTML or XML says it has, if there is such a one and it has."""
    if (found := _CHARSET.search(data[:2048])) is None:
        return None
    try:
        said = found[1].decode("ascii")
        name = codecs.lookup(said).name
        text = data.decode(name)  # `hex` and the like are no encodings of texts, which only this tells
    except (LookupError, UnicodeError):
        return None
    # what says so in ASCII is no UTF-16
    return name if said in text[:2048] and name.replace("-", "_") not in _OF_PYTHON else None


def _likely(data: bytes) -> str:
    """The encoding of bytes that are not UTF-8; that of western Windows unless another fits clearly better."""
    from charset_normalizer import from_bytes

    western = _reads_western(data)
    if western and sum(byte >= 0x80 for byte in data) < _FEW:
        return _WESTERN
    found = from_bytes(data, cp_isolation=_USUAL, threshold=0.3)
    best = found.best()
    if best is None:
        raise UnknownEncodingError("its encoding cannot be told: save it as UTF-8")
    same = next((match for match in found if _WESTERN in match.could_be_from_charset), None)
    if western and same is not None and same.chaos <= min(best.chaos, _UNLIKELY):
        return _WESTERN
    return best.encoding


def _reads_western(data: bytes) -> bool:
    """Whether accented letters stand among plain ones, as in western languages, and are not whole words of their own."""
    try:
        words = re.findall(r"[^\W\d_]+", data.decode(_WESTERN))
    except UnicodeDecodeError:
        return False
    plain = sum(character.isascii() for word in words for character in word)
    return bool(plain * 3 >= 2 * sum(map(len, words)))
