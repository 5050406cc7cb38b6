"""What a result says, in sentences; figures come from the file, nothing is judged beyond its intervals."""

from __future__ import annotations

from typing import Any

from uec_retriever.evaluation.report_page.results import Result, is_clear
from uec_retriever.evaluation.report_page.tables import interval, number

_TITLES = {
    "retrieval": "Retrieval",
    "sts": "Semantic textual similarity",
    "classification": "Classification",
    "uae": "UAE: embeddings aligned with utility",
    "tables": "Measurements",
}


def heading(result: Result) -> str:
    """Of a result's section: the title it gives itself, or its kind."""
    return str(result.content.get("title") or _TITLES[result.kind])


def headline(result: Result) -> list[str]:
    """Sentences that stand first."""
    said = _of_methods(result, result.metric) if result.metric else []
    if result.kind == "uae":
        said += _of_studies(result)
    return [*said, *map(str, result.content.get("headline") or ())]


def provenance(result: Result) -> list[tuple[str, str]]:
    """File, command, commit, split, seed, machine and versions, as far as the file says."""
    content = result.content
    experts, versions = content.get("experts"), content["versions"]
    rows = {
        "file": result.name,
        "command": content["command"],
        "commit": content["commit"] or "unknown, not run from a checkout",
        "split": content.get("split"),
        "experts": ", ".join(map(str, experts)) if isinstance(experts, list) else experts,
        "baseline": content.get("baseline"),
        "seed": content["seed"],
        "processors": content.get("cpus"),
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items()) if isinstance(versions, dict) else "",
    }
    return [(name, str(value)) for name, value in rows.items() if value not in (None, "")]


def _of_methods(result: Result, metric: str) -> list[str]:
    names = list(result.sets)
    where = f"mean over {len(names)} sets" if len(names) > 1 else names[0]
    contestants = [m for m, kind in result.methods.items() if kind not in ("oracle", "ablation")]
    said = []
    if contestants:
        best = max(contestants, key=lambda m: result.average(m, metric))
        among = f" of {len(contestants)} methods" if len(contestants) > 1 else ""
        said.append(f"Highest {metric}{among}, {where}: {best}, {_mean(result, best, metric)}.")
    if result.baseline:
        uec = [m for m, kind in result.methods.items() if kind == "uec"]
        said += [_against(result, label, result.baseline, metric, where) for label in uec]
    return said


def _against(result: Result, label: str, reference: str, metric: str, where: str) -> str:
    columns = result.columns(metric)
    cells = [cells[label] for name, cells in columns.items() if label in cells and name in result.sets]
    better, worse = (
        sum(is_clear(c) and sign * c["difference"]["mean"] > 0 for c in cells) for sign in (1, -1)
    )
    change = result.average(label, metric) - result.average(reference, metric)
    paired = (columns.get("mean", {}) if len(result.sets) > 1 else columns[where]).get(label) or {}
    limits = f" {interval(paired['difference'], '+z')}" if paired.get("difference") else ""
    if len(result.sets) > 1:
        clear = f"; clearly better on {better} of {len(cells)} sets, clearly worse on {worse}"
    else:
        clear = "" if better or worse else "; no clear difference"
    return f"{label}: {change:+z.3f}{limits} against {reference} ({_mean(result, reference, metric)}), {where}{clear}."


def _mean(result: Result, label: str, metric: str) -> str:
    """A method's mean, with its interval where that is known."""
    column = next(iter(result.columns(metric).values()))
    known = label in column and (len(result.sets) == 1 or result.mean_cell(label, metric))
    return _with_interval(column[label]) if known else number(result.average(label, metric))


def _with_interval(cell: Any) -> str:
    return f"{number(float(cell['mean']))} {interval(cell)}"


def _of_studies(result: Result) -> list[str]:
    said = []
    for title, study in result.studies:
        reference = study["baseline"]
        for scope, systems in study["scopes"].items():
            best = max(systems, key=lambda s: systems[s]["MAP"]["mean"])
            sentence = f"{title}, {scope}: highest MAP {best}, {_with_interval(systems[best]['MAP'])}"
            if reference in systems:
                sentence += f"; the baseline {reference} has {_with_interval(systems[reference]['MAP'])}"
            said.append(f"{sentence}.")
    return said
