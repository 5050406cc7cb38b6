"""Result files of evaluations: reading them, and saying what one of them lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.report_page.place import Place

# kind -> the metric of its first table and figure
MAIN_METRIC = {"retrieval": "nDCG@10", "sts": "Spearman", "classification": "accuracy"}
KINDS = (*MAIN_METRIC, "calibration", "uae", "scaling", "tables")
_PROVENANCE = ("command", "commit", "versions", "seed")


@dataclass(frozen=True)
class Result:
    """A result that was checked: what tables and figures rely on is there.

    Attributes:
        name: of the file, for messages and headings.
        kind: one of `KINDS`.
        content: as in the file.
    """

    name: str
    kind: str
    content: Mapping[str, Any]


def read_results(paths: Sequence[Path]) -> list[Result]:
    """Read and check result files.

    Raises:
        InvalidInputError: for a file that cannot be read, is not JSON or lacks something; names both.
    """
    return [check_result(_read(path), path.name) for path in paths]


def check_result(content: Any, name: str) -> Result:
    """Check what `uec eval` or a benchmark wrote.

    Args:
        content: of the file.
        name: of the file.

    Raises:
        InvalidInputError: names the file and what is missing in it.
    """
    top = Place(name, (), content)
    top.mapping()
    kind = _kind(top)
    for key in _PROVENANCE:
        top.at(key)
    if kind in MAIN_METRIC:
        _check_sets(top.at("sets"), kind)
        for method in top.at("mean").items() if top.has("mean") else ():
            _check_cells(method, MAIN_METRIC[kind])
    if kind == "uae":
        for _, study in _studies(top):
            _check_study(study)
    if kind == "scaling":
        _check_sweeps(top.at("sweeps"))
    groups = _check_reliability(top)
    if kind == "calibration" and not groups:
        raise top.lacks("a reliability diagram: {label: {'ECE', 'bins': [...]}}")
    _check_tables(top, kind)
    return Result(name, kind, content)


def studies(result: Result) -> list[tuple[str, Mapping[str, Any]]]:
    """Title and content of each study in a UAE result: one of `uec eval uae`, or all of `benchmarks.uae`."""
    return [(title, place.value) for title, place in _studies(Place(result.name, (), result.content))]


def reliability(result: Result) -> list[tuple[str, Mapping[str, Any]]]:
    """Title and content (label -> entry with `bins`) of each reliability diagram in a result."""
    found = _reliability(Place(result.name, (), result.content))
    skipped = ("sets", "reliability", "calibration")
    return [(", ".join(k for k in place.keys if k not in skipped), place.value) for place in found]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidInputError(f"{path} is not JSON ({error}): give what `uec eval` wrote") from error


def _kind(top: Place) -> str:
    kind = top.value.get("kind")
    if kind is None and ("scopes" in top.value or "results" in top.value):
        return "uae"
    if kind is None and "sweeps" in top.value:
        return "scaling"
    if kind is None:
        raise top.lacks(f"'kind' ({', '.join(KINDS)})")
    if kind not in KINDS:
        if "tables" in top.value:
            return "tables"
        raise top.wrong(f"is of kind {str(kind)[:40]!r}, not {', '.join(KINDS)}")
    return str(kind)


def _check_sets(sets: Place, kind: str) -> None:
    for one in sets.items():
        for method in one.at("methods").items():
            metrics = method.at("metrics") if kind == "retrieval" else method
            metrics.at(MAIN_METRIC[kind])
            _check_cells(metrics, MAIN_METRIC[kind])
            if method.has("coefficients"):
                for coefficient in method.at("coefficients").items():
                    coefficient.number()
        for stage in one.at("stages").items() if one.has("stages") else ():
            stage.number()
        for signal in one.at("abstention").items() if one.has("abstention") else ():
            if signal.has("curve"):
                _check_curve(signal.at("curve"))


def _check_cells(metrics: Place, main: str) -> None:
    for one in metrics.items():
        if one.keys[-1] == main or (isinstance(one.value, Mapping) and "mean" in one.value):
            _check_cell(one)


def _check_cell(cell: Place) -> None:
    for key in ("mean", "low", "high"):
        cell.at(key).number()
    if cell.has("difference"):
        for key in ("mean", "low", "high"):
            cell.at("difference").at(key).number()


def _check_curve(curve: Place) -> None:
    lengths = set()
    for key in ("coverage", "nDCG@10"):
        points = curve.at(key).elements()
        lengths.add(len(points))
        for point in points:
            point.number()
    if len(lengths) > 1 or 0 in lengths:
        raise curve.wrong("has not as many values of nDCG@10 as of coverage, or none")


def _studies(top: Place) -> Iterator[tuple[str, Place]]:
    if "scopes" in top.mapping():
        yield str(top.value.get("dataset", top.file)), top
    else:
        for study in top.at("results").items():
            yield study.keys[-1], study


def _check_study(study: Place) -> None:
    study.at("baseline")
    for scope in study.at("scopes").items():
        for system in scope.items():
            for metric in ("Hit@1", "MAP"):
                _check_cell(system.at(metric))


def _reliability(place: Place) -> Iterator[Place]:
    """Objects whose values have `bins`, wherever they are."""
    if not isinstance(place.value, Mapping):
        return
    inner = [v for v in place.value.values() if isinstance(v, Mapping)]
    if inner and all("bins" in v for v in inner):
        yield Place(place.file, place.keys, {k: v for k, v in place.value.items() if isinstance(v, Mapping)})
        return
    for key in place.value:
        yield from _reliability(place.at(key))


def _check_reliability(top: Place) -> int:
    """How many groups of reliability bins there are."""
    groups = 0
    for place in _reliability(top):
        groups += 1
        for entry in place.items():
            _check_bins(entry.at("bins"))
            for one in entry.at("variance bins").elements() if entry.has("variance bins") else ():
                for key in ("variance", "squared error"):
                    one.at(key).number()
    return groups


def _check_bins(bins: Place) -> None:
    for one in bins.elements():
        one.at("count").number()
        if one.value["count"]:
            one.at("confidence").number()
            one.at("accuracy").number()


def _check_sweeps(sweeps: Place) -> None:
    for sweep in sweeps.items():
        sizes = sweep.at("sizes").elements()
        for size in sizes:
            size.number()
        for stage in sweep.at("milliseconds").at("values").items():
            times = stage.elements()
            for one in times:
                one.number()
            if len(times) != len(sizes) or not times:
                raise stage.wrong("has not as many values as there are sizes")


def _check_tables(top: Place, kind: str) -> None:
    if kind != "tables" and not top.has("tables"):
        return
    for table in top.at("tables").elements():
        for key in ("name", "title"):
            table.at(key)
        width = len(table.at("columns").elements())
        for row in table.at("rows").elements():
            if len(row.elements()) != width:
                raise row.wrong(f"has not {width} entries, as there are columns")
