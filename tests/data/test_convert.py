"""Documents of other programs: what is refused before any converter sees it."""

import io
import zipfile

import pytest

from uec_retriever.data.files import convert as module
from uec_retriever.data.files.convert import ConversionError, convert


@pytest.fixture
def bomb(monkeypatch):
    monkeypatch.setattr(module, "_UNPACKED", 2**20)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"\0" * (module._UNPACKED + 1))
    return made.getvalue()


@pytest.mark.parametrize("suffix", [".docx", ".pptx", ".xlsx", ".epub"])
def test_an_archive_far_larger_than_it_looks_is_refused_whatever_stands_around_it(bomb, suffix):
    assert len(bomb) < 2**12
    for before, after in ((b"", b""), (b"X", b""), (b"MZ" + b"\x90" * 999, b""), (b"", b"\n\n")):
        with pytest.raises(ConversionError, match="it is 1 MB when unpacked"):
            convert(before + bomb + after, suffix)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 and no more", b"\xd0\xcf\x11\xe0 as locked ones begin"])
def test_what_is_no_archive_is_refused(data):
    with pytest.raises(ConversionError, match="damaged, cut off or locked"):
        convert(data, ".docx")
