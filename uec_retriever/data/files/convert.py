"""Documents of other programs to Markdown, by markitdown: HTML, PDF, DOCX, PPTX, XLSX, EPUB (the extra `files`)."""

from __future__ import annotations

import importlib.util
import io
import warnings
import zipfile
from functools import cache
from typing import Any

CONVERTED = {
    ".html": "HtmlConverter",
    ".htm": "HtmlConverter",
    ".xhtml": "HtmlConverter",
    ".pdf": "PdfConverter",
    ".docx": "DocxConverter",
    ".pptx": "PptxConverter",
    ".xlsx": "XlsxConverter",
    ".epub": "EpubConverter",
}
"""Suffix -> its class in `markitdown.converters`."""
HTML = (".html", ".htm", ".xhtml")
_ARCHIVES = (".docx", ".pptx", ".xlsx", ".epub")
_UNPACKED = 2**28  # bytes in the archive that such a file is


class ConversionError(ValueError):
    """A document that cannot be converted: damaged, locked, or too large."""


@cache
def can_convert() -> bool:
    """Whether the extra `files` is installed."""
    return importlib.util.find_spec("markitdown") is not None


def convert(data: bytes, suffix: str) -> tuple[str, str]:
    """Markdown of a document, and the title that it has beside its text, or "".

    The converter is chosen by the suffix alone, so that an archive in disguise is not unpacked.

    Args:
        data: the file; HTML as UTF-8.
        suffix: one of `CONVERTED`.

    Raises:
        ConversionError: if it cannot be.
    """
    if suffix in _ARCHIVES:
        _check_size(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from markitdown import StreamInfo, converters

            converter: Any = getattr(converters, CONVERTED[suffix])()
            charset = "utf-8" if suffix in HTML else None
            found = converter.convert(io.BytesIO(data), StreamInfo(extension=suffix, charset=charset))
    except Exception as error:  # whatever a dozen libraries raise for damaged files
        told = str(error).split("\n", 1)[0][:200] or type(error).__name__
        raise ConversionError(f"it cannot be converted ({told})") from error
    return found.markdown.replace("\0", "").strip(), (found.title or "").strip()


def _check_size(data: bytes) -> None:
    """Refuse an archive that is far larger than it looks, whatever stands before it, as those who unpack it do not mind."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile as error:
        raise ConversionError("it is damaged, cut off or locked") from error
    if size > _UNPACKED:
        raise ConversionError(f"it is {size / 2**20:,.0f} MB when unpacked, more than {_UNPACKED >> 20}")
