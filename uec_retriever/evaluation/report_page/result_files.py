"""Result files: reading them, and saying what one of them lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uec_retriever.checks.json_text import read_json
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.report_page.results import (
    INTERVAL,
    KINDS,
    MAIN_METRIC,
    Result,
    is_number,
)


def read_results(paths: Sequence[Path]) -> list[Result]:
    """Read and check result files.

    Raises:
        InvalidInputError: for a file that cannot be read, is not JSON or lacks something; names both.
    """
    found = []
    for path in paths:
        try:
            content = read_json(path)
        except InvalidInputError as error:
            raise InvalidInputError(f"{error}. Give what `uec eval` wrote") from error
        found.append(check_result(content, path.name))
    return found


def check_result(content: Any, name: str) -> Result:
    """Check what `uec eval` or a benchmark wrote.

    Args:
        content: of the file.
        name: of the file.

    Raises:
        InvalidInputError: names the file and what is missing in it.
    """
    top = _Place(name, (), content)
    kind = _kind(top)
    for key in ("command", "commit", "versions", "seed"):
        top.at(key)
    if kind in MAIN_METRIC:
        _check_sets(top, kind)
    if kind == "uae":
        _check_studies(top)
    _check_tables(top, kind)
    _check_curves(top)
    _check_failures(top)
    return Result(name, kind, content)


@dataclass(frozen=True)
class _Place:
    """A value inside a file that knows where it is, to say what is wrong with it."""

    file: str
    keys: tuple[str, ...]
    value: Any

    def at(self, key: str) -> _Place:
        if not isinstance(self.value, Mapping):
            raise self.refusal("is not an object")
        if key not in self.value:
            raise self.refusal(f"lacks {key!r}")
        return _Place(self.file, (*self.keys, key), self.value[key])

    def each(self) -> list[_Place]:
        """Values of an object that must not be empty."""
        if isinstance(self.value, Mapping) and not self.value:
            raise self.refusal("is empty")
        return [self.at(key) for key in self.value]

    def elements(self) -> list[_Place]:
        """Values of a list."""
        if isinstance(self.value, str) or not isinstance(self.value, Sequence):
            raise self.refusal("is not a list")
        return [_Place(self.file, (*self.keys, str(i)), v) for i, v in enumerate(self.value)]

    def numbers(self, *keys: str) -> list[_Place]:
        """The values under keys, or those of a list, which must be finite numbers."""
        found = [self.at(key) for key in keys] if keys else self.elements()
        for place in found:
            if not is_number(place.value):
                raise place.refusal(f"is not a number but {str(place.value)[:40]!r}")
        return found

    def refusal(self, why: str) -> InvalidInputError:
        return InvalidInputError(
            f"{self.file} is no result that can be reported: {': '.join(self.keys) or 'it'} {why}; "
            "give JSON that `uec eval` or a benchmark of this version wrote"
        )


def _kind(top: _Place) -> str:
    if not isinstance(top.value, Mapping):
        raise top.refusal("is not an object")
    kind = top.value.get("kind")
    if kind is None and {"scopes", "results"} & set(top.value):
        return "uae"
    if kind is None:
        raise top.refusal(f"lacks 'kind' ({', '.join(KINDS)})")
    if kind not in KINDS and "tables" not in top.value:
        raise top.refusal(f"is of kind {str(kind)[:40]!r}, not {', '.join(KINDS)}")
    return str(kind) if kind in KINDS else "tables"


def _check_sets(top: _Place, kind: str) -> None:
    main = MAIN_METRIC[kind]
    for one in top.at("sets").each():
        for method in one.at("methods").each():
            _check_cells(method.at("metrics") if kind == "retrieval" else method, main)
            if method.value.get("coefficients"):
                method.at("coefficients").numbers(*method.value["coefficients"])
        if one.value.get("stages"):
            one.at("stages").numbers(*one.value["stages"])
        for signal in one.at("abstention").each() if one.value.get("abstention") else ():
            if signal.value.get("curve"):
                _check_line(signal.at("curve").at(main), signal.at("curve").at("coverage"))
    for method in top.at("mean").each() if top.value.get("mean") else ():
        _check_cells(method, main)


def _check_cells(metrics: _Place, main: str) -> None:
    _check_cell(metrics.at(main))
    for cell in metrics.each():
        if isinstance(cell.value, Mapping) and "mean" in cell.value:
            _check_cell(cell)


def _check_studies(top: _Place) -> None:
    for study in [top] if "scopes" in top.value else top.at("results").each():
        study.at("baseline")
        for system in (s for scope in study.at("scopes").each() for s in scope.each()):
            for metric in ("Hit@1", "MAP"):
                _check_cell(system.at(metric))


def _check_tables(top: _Place, kind: str) -> None:
    for table in top.at("tables").elements() if kind == "tables" or top.value.get("tables") else ():
        for key in ("name", "title"):
            table.at(key)
        width = len(table.at("columns").elements())
        for row in table.at("rows").elements():
            if len(row.elements()) != width:
                raise row.refusal(f"has not {width} entries, as there are columns")
            for cell in row.elements():
                if isinstance(cell.value, Mapping):
                    _check_cell(cell)


def _check_curves(top: _Place) -> None:
    for curves in top.at("curves").elements() if top.value.get("curves") else ():
        for key in ("name", "title", "y"):
            curves.at(key)
        for panel in curves.at("panels").each():
            counts = [panel.at("counts")] if panel.value.get("counts") else []
            bands = panel.at("bands").each() if panel.value.get("bands") else []
            ends = [band.at(end) for band in bands for end in ("low", "high")]
            for line in [*panel.at("lines").each(), *counts, *ends]:
                _check_line(line, panel.at("x"))


def _check_failures(top: _Place) -> None:
    for one in top.at("failures").elements() if top.value.get("failures") else ():
        for key in ("query", "verdict", "why"):
            one.at(key)
        one.numbers("confidence")
        for text in (one.at("returned"), one.at("right")):
            for key in ("id", "text", "matched") if text.value is not None else ():
                text.at(key)
            for key in ("score", "relevance"):
                if text.value is not None and text.value.get(key) is not None:
                    text.numbers(key)


def _check_line(line: _Place, along: _Place) -> None:
    if not line.numbers() or len(line.value) != len(along.numbers()):
        raise line.refusal(f"has not as many values as {along.keys[-1]}, or none")


def _check_cell(cell: _Place) -> None:
    cell.numbers(*INTERVAL)
    if cell.value.get("difference"):
        cell.at("difference").numbers(*INTERVAL)
