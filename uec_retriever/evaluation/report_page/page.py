"""The report: one self-contained page, and its figures as PNG beside it."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from uec_retriever.atomic import write_atomically
from uec_retriever.errors import InvalidInputError, MissingExtraError
from uec_retriever.evaluation.report_page.evidence import FAILURES, FAILURES_NOTE, failures
from uec_retriever.evaluation.report_page.figures import figures
from uec_retriever.evaluation.report_page.headlines import heading, headline, provenance
from uec_retriever.evaluation.report_page.looks import DARK, LIGHT, to_png
from uec_retriever.evaluation.report_page.result_files import check_result
from uec_retriever.evaluation.report_page.results import KIND_NAMES, Result
from uec_retriever.evaluation.report_page.tables import tables

PAGE = "report.html"
_TEMPLATE = "page.html.j2"


@dataclass(frozen=True)
class ReportFiles:
    """What was written.

    Attributes:
        page: the HTML page; it needs no other file.
        figures: PNG files, in the order of the page.
    """

    page: Path
    figures: tuple[Path, ...]


def write_report(
    results: Sequence[Mapping[str, Any] | Result], out: Path, title: str = "uec-retriever: evaluation"
) -> ReportFiles:
    """Write `report.html` and a PNG for each figure into a folder.

    Nothing is written before everything is drawn, and each file appears whole or not at all, the page last.

    Args:
        results: of `uec eval` or the benchmarks; one section each.
        out: the folder; made if absent, files of the same names are replaced.
        title: of the page.

    Raises:
        InvalidInputError: if there is no result, or one lacks something; names it.
        MissingExtraError: without the extra `report`.
        StorageError: if the folder cannot be written to.
    """
    checked = [
        r if isinstance(r, Result) else check_result(r, f"result {i}") for i, r in enumerate(results, 1)
    ]
    if not checked:
        raise InvalidInputError("there is no result to report: give at least one JSON file of `uec eval`")
    template = _template()
    kinds, headings = Counter(r.kind for r in checked), Counter(heading(r) for r in checked)
    images: dict[str, bytes] = {}
    sections, seen = [], Counter[str]()
    for result in checked:
        seen[result.kind] += 1
        prefix = f"{result.kind}-{seen[result.kind]}" if kinds[result.kind] > 1 else result.kind
        title_of = heading(result)
        if headings[title_of] > 1:
            title_of += f": {Path(result.name).stem}"
        sections.append(_section(result, prefix, title_of, images))
    shared = {"kinds": KIND_NAMES, "themes": (LIGHT, DARK), "failures": (FAILURES, FAILURES_NOTE)}
    page = template.render(title=title, sections=sections, **shared)
    for name, image in images.items():
        write_atomically(out / name, image)
    write_atomically(out / PAGE, page.encode())
    return ReportFiles(out / PAGE, tuple(out / name for name in images))


def _section(result: Result, prefix: str, title: str, images: dict[str, bytes]) -> dict[str, Any]:
    """What the page shows of a result; its figures join `images`."""
    shown = []
    for drawing in figures(result):
        light, (width, height) = to_png(drawing, LIGHT)
        dark, _ = to_png(drawing, DARK)
        images[f"{prefix}-{drawing.name}.png"] = light
        sources = {"light": _data_uri(light), "dark": _data_uri(dark), "width": width, "height": height}
        shown.append({"title": drawing.title, "alt": drawing.alt, "note": drawing.note, **sources})
    every = tables(result)
    details = {k: result.content[k] for k in ("chosen", "settings", "options") if result.content.get(k)}
    return {
        "id": prefix,
        "heading": title,
        "headline": headline(result),
        "provenance": provenance(result),
        "figures": shown,
        "tables": [t for t in every if not t.minor],
        "failures": failures(result),
        "minor": [t for t in every if t.minor],
        "details": json.dumps(details, indent=1, ensure_ascii=False) if details else "",
    }


def _template() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError('the report needs Jinja2: pip install "uec-retriever[report]"') from error
    source = (files("uec_retriever.evaluation.report_page") / _TEMPLATE).read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source)


def _data_uri(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"
