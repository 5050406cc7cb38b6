"""Bytes as people's programs write them come out as the text that they were."""

import gzip
from encodings.aliases import aliases

import pytest

from uec_retriever.data.files.encodings import (
    BinaryFileError,
    UnknownEncodingError,
    decode,
    encoding_of_file,
)

GERMAN = "Der Flügel erzeugt Auftrieb – größer als früher, für 5 €."
TEXTS = {
    "utf-8": ["Крыло", "ascii alone", "🛩 wing"],
    "utf-8-sig": ["café", ""],
    "utf-16": ["hello wörld", "Крыло"],
    "utf-16-le": ["hello world of text"],
    "utf-16-be": ["hello world of text"],
    "utf-32": ["abc"],
    "cp1252": ["café", "naïve résumé", "El niño comió piñones, ¿verdad?", GERMAN, "“Smart” — it’s €5"],
    "cp1251": ["Крыло самолёта создаёт подъёмную силу, когда воздух обтекает его поверхность."],
    "koi8_r": ["Крыло самолёта создаёт подъёмную силу, когда воздух обтекает его поверхность."],
    "cp1250": ["Zażółć gęślą jaźń, skrzydło samolotu wytwarza siłę nośną."],
    "shift_jis": ["これは日本語の文章です。翼は揚力を生み出します。"],
    "gb18030": ["机翼产生升力，空气流过它的表面。"],
}
CASES = [(encoding, text) for encoding, texts in TEXTS.items() for text in texts]


@pytest.mark.parametrize(("encoding", "text"), CASES)
def test_a_text_is_decoded(encoding, text):
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize(("encoding", "text"), CASES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_of_any_size_is_decoded_likewise(tmp_path, encoding, text, pack):
    (tmp_path / "f").write_bytes(pack(text.encode(encoding)))
    found = encoding_of_file(tmp_path / "f")
    assert text.encode(encoding).decode(found).removeprefix("\ufeff") == text


def test_a_stray_byte_far_inside_a_file_is_seen(tmp_path):
    data = b"plain words. " * 200_000 + GERMAN.encode("cp1252") + b" more words." * 200_000
    (tmp_path / "f").write_bytes(data)
    assert encoding_of_file(tmp_path / "f") == "cp1252"
    assert GERMAN in decode(data)


def test_a_character_cut_by_the_end_of_a_block_is_no_problem(tmp_path):
    (tmp_path / "f").write_bytes(b"x" * (2**20 - 1) + "é".encode())
    assert encoding_of_file(tmp_path / "f") == "utf-8"


def test_line_ends_become_one_kind():
    assert decode(b"a\r\nb\rc\n") == "a\nb\nc\n"


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", bytes(range(256)) * 10, b"abc\0def", b"text " * 20_000 + b"\0"]
)
def test_what_is_no_text_is_never_decoded(data):
    with pytest.raises(BinaryFileError):
        decode(data)


def test_html_says_its_encoding():
    text = '<html><head><meta charset="iso-8859-7"></head><body>φτερό</body></html>'
    assert decode(text.encode("iso-8859-7"), marked_up=True) == text


@pytest.mark.parametrize(
    "named",
    ["no-such", "utf-8", "utf-16", "euc-jp", "aliases", *sorted(set(aliases.values())), "undefined", "idna"],
)
def test_html_that_says_a_wrong_encoding_is_read_all_the_same(named):
    text = f'<meta charset="{named}"><p>caf\u00e9 \\u0041'
    found = decode(text.encode("cp1252"), marked_up=True)
    try:
        expected = {text, text.encode("cp1252").decode(named)}
    except (LookupError, UnicodeError):
        expected = {text}
    assert found in expected and named in found and "\\u0041" in found


def test_an_encoding_that_cannot_be_told_is_refused():
    with pytest.raises(UnknownEncodingError, match="save it as UTF-8"):
        decode(b"\xff\xfea" + b"\xd8\x00\xd8")
