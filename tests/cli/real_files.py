"""A folder of 40 files as people have them, made when a test runs: no binaries lie in the repository."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

NAMESPACE = "http://schemas.openxmlformats.org"
SUBJECTS = "turbine gearbox radiator compressor manifold".split()


def paragraph(subject: str, count: int) -> str:
    return " ".join(f"The {subject} of unit {i} is checked before every flight." for i in range(count))


def guide(subject: str, front: str = "") -> str:
    return (
        f"{front}# The {subject}\n\nAll about the {subject}.\n\n## Care\n\n{paragraph(subject, 12)}\n\n"
        f"## Faults\n\nA {subject} that hums has a loose bracket.\n\n```sh\n# not a heading\n```\n"
    )


def manual(subject: str) -> str:
    return f"The {subject}\n{'=' * 20}\n\nIntro.\n\nRepair\n------\n\n{paragraph(subject, 12)}\n"


def page(subject: str, head: str = "") -> str:
    return (
        f"<!doctype html><html><head>{head}<title>{subject} page</title><style>p {{color: red}}</style></head><body>"
        f"<script>alert('no text')</script><h1>On the {subject}</h1><p>Größe of the {subject}: small.</p></body></html>"
    )


def pdf(text: str) -> bytes:
    """One page with one line."""
    drawn = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn),
    ]
    made, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 5\n0000000000 65535 f \n" + table
    return made + head + b"trailer << /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % len(made)


def docx(heading: str, text: str) -> bytes:
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    return archive_of(
        {
            "[Content_Types].xml": f'<Types xmlns="{NAMESPACE}/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{NAMESPACE}/package/2006/relationships"><Relationship Id="r1" '
            f'Type="{NAMESPACE}/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>',
            "word/document.xml": f'<w:document xmlns:w="{NAMESPACE}/wordprocessingml/2006/main"><w:body><w:p><w:pPr>'
            f'<w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>{heading}</w:t></w:r></w:p>'
            f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>",
        }
    )


def epub(title: str, text: str) -> bytes:
    return archive_of(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
            "book.opf": '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/" '
            f'version="2.0"><metadata><dc:title>{title}</dc:title></metadata><manifest><item id="a" href="a.xhtml" '
            'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine></package>',
            "a.xhtml": f"<html><body><h1>Chapter</h1><p>{text}</p></body></html>",
        }
    )


def archive_of(files: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return made.getvalue()


def xlsx(rows: list[list[object]]) -> bytes:
    from openpyxl import Workbook

    book, made = Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(made)
    return made.getvalue()


def pptx(title: str, text: str) -> bytes:
    from pptx import Presentation

    slides, made = Presentation(), io.BytesIO()
    slide = slides.slides.add_slide(slides.slide_layouts[1])
    slide.shapes.title.text, slide.placeholders[1].text = title, text
    slides.save(made)
    return made.getvalue()


def make_folder(folder: Path, *, convertible: bool) -> Path:
    """Write 40 files, two of them bad.

    Args:
        folder: to make.
        convertible: with real PPTX and XLSX, which the extra `files` makes.
    """
    front = "---\ntitle: {0} notes\ntags: [{0}, care]\ndate: 2024-03-0{1}\n---\n"
    files: dict[str, bytes] = {
        **{
            f"guides/{s}.md": guide(s, front.format(s, i + 1)).encode("utf-8-sig" if i else "utf-8")
            for i, s in enumerate(SUBJECTS)
        },
        **{f"guides/more/{s}.markdown": guide(f"spare {s}").encode() for s in SUBJECTS[:3]},
        **{f"manuals/{s}.rst": manual(f"old {s}").encode() for s in SUBJECTS},
        **{f"notes/{s}.txt": f"Notes on the {s}: it wants oil.".encode() for s in SUBJECTS},
        "notes/windows.txt": "Die Größe des Flügels – für später.\r\nZweite Zeile.".encode("cp1252"),
        "notes/notepad.txt": "Saved by an old editor as Unicode, with piñata.".encode("utf-16"),
        "notes/russian.txt": ("Крыло самолёта создаёт подъёмную силу. " * 3).encode("cp1251"),
        "notes/long.txt": (paragraph("wing", 200) + " The last word is zanzibar.").encode(),
        "notes/empty.txt": b"",
        "web/a.html": page("hinge").encode(),
        "web/b.htm": page("latch", '<meta charset="iso-8859-1">').encode("iso-8859-1"),
        "data/parts.csv": "Name;Preis\nSchraube;1,20\nMutter für Flügel;0,30\n".encode("cp1252"),
        "data/more.tsv": b"name\tprice\nwasher\t3\n",
        "papers/report.pdf": pdf("A portable report on ailerons."),
        "papers/letter.docx": docx("Letter", "Dear pilot, the fuselage is fine."),
        "papers/book.epub": epub("A Book", "Once upon a time there was an empennage."),
        "papers/slides.pptx": pptx("Slides", "A rudder turns.") if convertible else b"PK",
        "papers/sheet.xlsx": xlsx([["part", "weight"], ["spoiler", 12]]) if convertible else b"PK",
        "papers/scan.png": b"\x89PNG\r\n\x1a\n\0\0",
        "notes/really-a-zip.txt": archive_of({"a": "b"}),
        "rows.jsonl": b'{"text": "a"}\n',
        "build/out.txt": b"generated",
        ".secret.txt": b"hidden",
        ".gitignore": b"build/\n",
        "bad/noise.txt": b"\xff\xfea" + b"\xd8\x00\xd8",
        "bad/torn.csv": b'a,b\n"open,1\n',
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert len(files) == 40
    return folder
