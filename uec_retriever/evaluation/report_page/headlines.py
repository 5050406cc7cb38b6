"""What a result says, in sentences; figures come from the file, nothing is judged beyond its intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uec_retriever.evaluation.report_page import side_by_side
from uec_retriever.evaluation.report_page.place import is_number
from uec_retriever.evaluation.report_page.result_files import MAIN_METRIC, Result, reliability, studies
from uec_retriever.evaluation.report_page.side_by_side import Cell
from uec_retriever.evaluation.report_page.table import interval, number

_TITLES = {
    "retrieval": "Retrieval",
    "sts": "Semantic textual similarity",
    "classification": "Classification",
    "calibration": "Calibration",
    "uae": "UAE: embeddings aligned with utility",
    "scaling": "Efficiency",
    "tables": "Measurements",
}
_MOST_READINGS = 4  # in a sentence; of more, the lowest and the highest


def heading(result: Result) -> str:
    """Of a result's section: the title it gives itself, or its kind."""
    return str(result.content.get("title") or _TITLES[result.kind])


def headline(result: Result) -> list[str]:
    """Sentences that stand first."""
    if result.kind in MAIN_METRIC:
        return _of_methods(result)
    if result.kind == "uae":
        return [sentence for title, study in studies(result) for sentence in _of_study(title, study)]
    if result.kind == "calibration":
        return _of_calibration(result)
    return []


def provenance(result: Result) -> list[tuple[str, str]]:
    """Command, commit, versions, seed, split and machine, as far as the file says."""
    content = result.content
    rows = [
        ("file", result.name),
        ("command", str(content["command"])),
        ("commit", str(content["commit"] or "unknown, not run from a checkout")),
    ]
    experts = content.get("experts")
    extra = {
        "split": content.get("split"),
        "experts": ", ".join(map(str, experts)) if isinstance(experts, list) else experts,
        "baseline": content.get("baseline"),
        "seed": content["seed"],
        "processors": content.get("cpus"),
    }
    rows += [(name, str(value)) for name, value in extra.items() if value not in (None, "")]
    versions = content["versions"]
    if isinstance(versions, dict):
        rows.append(("versions", ", ".join(f"{k} {v}" for k, v in versions.items())))
    return rows


def _of_methods(result: Result) -> list[str]:
    metric = MAIN_METRIC[result.kind]
    kinds = side_by_side.kinds(result)
    reference = side_by_side.baseline(result)
    number_of_sets = len(result.content["sets"])
    where = f"mean over {number_of_sets} sets" if number_of_sets > 1 else next(iter(result.content["sets"]))
    contestants = [m for m, kind in kinds.items() if kind not in ("oracle", "ablation")]
    said = []
    if contestants:
        best = max(contestants, key=lambda m: side_by_side.average(result, m, metric))
        among = f" of {len(contestants)} methods" if len(contestants) > 1 else ""
        said.append(f"Highest {metric}{among}, {where}: {best}, {_figure(result, best, metric)}.")
    for label in (m for m, kind in kinds.items() if kind == "uec" and reference):
        said.append(_against(result, label, str(reference), metric, where))
    return said


def _against(result: Result, label: str, reference: str, metric: str, where: str) -> str:
    sets = result.content["sets"]
    cells = [c for name in sets if (c := side_by_side.cell(result, name, label, metric)) is not None]
    better = sum(side_by_side.is_clear(c) and c["difference"]["mean"] > 0 for c in cells)
    worse = sum(side_by_side.is_clear(c) and c["difference"]["mean"] < 0 for c in cells)
    change = side_by_side.average(result, label, metric) - side_by_side.average(result, reference, metric)
    mean = side_by_side.mean_cell(result, label, metric)
    paired = (mean if len(sets) > 1 else cells[0] if cells else None) or {}
    limits = f" {interval(paired['difference'], '+z')}" if paired.get("difference") else ""
    if len(sets) > 1:
        clear = f"; clearly better on {better} of {len(cells)} sets, clearly worse on {worse}"
    else:
        clear = "" if better or worse else "; no clear difference"
    return f"{label}: {change:+z.3f}{limits} against {reference} ({_figure(result, reference, metric)}), {where}{clear}."


def _figure(result: Result, label: str, metric: str) -> str:
    sets = list(result.content["sets"])
    cell = side_by_side.mean_cell(result, label, metric)
    if cell is None and len(sets) == 1:
        cell = side_by_side.cell(result, sets[0], label, metric)
    if cell is not None:
        return _mean(cell)
    return number(side_by_side.average(result, label, metric))


def _of_study(title: str, study: Mapping[str, Any]) -> list[str]:
    said = []
    reference = study["baseline"]
    for scope, systems in study["scopes"].items():
        best = max(systems, key=lambda s: systems[s]["MAP"]["mean"])
        sentence = f"{title}, {scope}: highest MAP {best}, {_mean(systems[best]['MAP'])}"
        if reference in systems:
            sentence += f"; the baseline {reference} has {_mean(systems[reference]['MAP'])}"
        said.append(f"{sentence}.")
    return said


def _mean(cell: Cell) -> str:
    return f"{number(float(cell['mean']))} {interval(cell)}"


def _of_calibration(result: Result) -> list[str]:
    said = []
    for title, group in reliability(result):
        errors = {label: one["ECE"] for label, one in group.items() if is_number(one.get("ECE"))}
        about = f"ECE{f', {title}' if title else ''}"
        if 0 < len(errors) <= _MOST_READINGS:
            said.append(f"{about}: {'; '.join(f'{label} {number(e)}' for label, e in errors.items())}.")
        elif errors:
            low, high = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
            said.append(
                f"{about}: from {number(errors[low])} ({low}) to {number(errors[high])} ({high}), "
                f"{len(errors)} readings."
            )
    return said
