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
from uec_retriever.evaluation.report_page.bars import time_bars, uae_bars
from uec_retriever.evaluation.report_page.curves import reliability_diagrams, risk_coverage, variance_diagrams
from uec_retriever.evaluation.report_page.dots import ablation_bars, dots
from uec_retriever.evaluation.report_page.headlines import heading, headline, provenance
from uec_retriever.evaluation.report_page.looks import DARK, LIGHT, PIXELS_PER_INCH, Drawing, to_png
from uec_retriever.evaluation.report_page.maps import coefficient_map
from uec_retriever.evaluation.report_page.result_files import MAIN_METRIC, Result, check_result
from uec_retriever.evaluation.report_page.scaling import growth_drawing
from uec_retriever.evaluation.report_page.side_by_side import KIND_NAMES
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
    environment = _environment()
    images: dict[str, bytes] = {}
    headings = Counter(heading(result) for result in checked)
    sections = [
        _section(result, prefix, images, alone=headings[heading(result)] == 1)
        for result, prefix in zip(checked, _prefixes(checked), strict=True)
    ]
    page = environment.get_template(_TEMPLATE).render(title=title, sections=sections, kinds=KIND_NAMES)
    for name, image in images.items():
        write_atomically(out / name, image)
    write_atomically(out / PAGE, page.encode())
    return ReportFiles(out / PAGE, tuple(out / name for name in images))


def drawings(result: Result) -> list[Drawing]:
    """All figures that a result has something for."""
    found: list[Drawing | None] = []
    if result.kind in MAIN_METRIC:
        found += [dots(result), ablation_bars(result), coefficient_map(result), risk_coverage(result)]
    if result.kind == "uae":
        found += uae_bars(result)
    if result.kind == "scaling":
        found.append(growth_drawing(result))
    found += reliability_diagrams(result)
    found += variance_diagrams(result)
    if result.kind in MAIN_METRIC:
        found.append(time_bars(result))
    return [drawing for drawing in found if drawing is not None]


def _section(result: Result, prefix: str, images: dict[str, bytes], *, alone: bool) -> dict[str, Any]:
    """What the page shows of a result; `alone` if no other one has its heading."""
    figures = []
    for drawing in drawings(result):
        canvas = drawing.draw(LIGHT)
        light = to_png(canvas)
        images[f"{prefix}-{drawing.name}.png"] = light
        figures.append(
            {
                "title": drawing.title,
                "alt": drawing.alt,
                "note": drawing.note,
                "light": _data_uri(light),
                "dark": _data_uri(to_png(drawing.draw(DARK))),
                "width": round(canvas.get_figwidth() * PIXELS_PER_INCH),
                "height": round(canvas.get_figheight() * PIXELS_PER_INCH),
            }
        )
    every = tables(result)
    details = {k: result.content[k] for k in ("chosen", "settings", "options") if result.content.get(k)}
    return {
        "id": prefix,
        "heading": heading(result) if alone else f"{heading(result)}: {Path(result.name).stem}",
        "headline": headline(result),
        "provenance": provenance(result),
        "figures": figures,
        "tables": [t for t in every if not t.minor],
        "minor": [t for t in every if t.minor],
        "details": json.dumps(details, indent=1, ensure_ascii=False) if details else "",
    }


def _prefixes(results: Sequence[Result]) -> list[str]:
    """Unique beginnings of file names: the kind, and a number where there are several."""
    often = Counter(r.kind for r in results)
    seen: Counter[str] = Counter()
    found = []
    for result in results:
        seen[result.kind] += 1
        found.append(f"{result.kind}-{seen[result.kind]}" if often[result.kind] > 1 else result.kind)
    return found


def _environment() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError('the report needs Jinja2: pip install "uec-retriever[report]"') from error
    source = (files("uec_retriever.evaluation.report_page") / _TEMPLATE).read_text(encoding="utf-8")
    return jinja2.Environment(
        loader=jinja2.DictLoader({_TEMPLATE: source}),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _data_uri(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"
