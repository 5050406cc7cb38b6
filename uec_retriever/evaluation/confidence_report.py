"""What `uec eval confidence` finds, as a result file: figures, and the sentences, tables and curves of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from uec_retriever.evaluation.confidence_figures import SIGNALS
from uec_retriever.evaluation.reliability import RELIABILITY_NOTE, reliability_panel
from uec_retriever.evaluation.report_page.tables import interval, number

_CLOSE, _ROUGH = 0.05, 0.1  # ECE up to which confidence is close to the truth, and roughly so
_BANDS = "Shaded: 95 % bootstrap intervals of each point."


def confidence_report(found: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a result file that the page and the terminal show: `headline`, `tables` and `curves`.

    Args:
        found: with `k`, `unanswerable`, `confidence`, `relevance` and `coverage` as `confidence_figures` and its sisters give
            them, `coverage reason`, why no coverage is promised, null where it is, and `warnings`.
    """
    tables = [_verdict_table(found), _figure_table(found), _coverage_table(found)]
    return {
        "headline": _headline(found),
        "tables": [table for table in tables if table["rows"]],
        "curves": _curves(found),
    }


def _headline(found: Mapping[str, Any]) -> list[str]:
    told, k = found["confidence"], found["k"]
    said = [f"Beware: {warning}." for warning in found["warnings"]]
    if share := found["unanswerable"]:
        said.append(
            f"Some questions lost their answer first, so that {share:.0%} have none here (--unanswerable 0: as they are)."
        )
    said += [_calibration(told), _verdicts(told, k), _abstention(told)]
    if (areas := told["AUROC of answers"]) is not None:
        said.append(
            f"Not in here: a search with an answer in the index is surer than one without in "
            f"{_share(areas['confidence'])} of cases (AUROC; chance 50 %)."
        )
    said += [_coverage(row) for row in found["coverage"] if row["coverage"] == 0.9]
    if found["coverage"] and found["coverage reason"]:
        said.append(f"The index does not promise this coverage now: {found['coverage reason']}.")
    return said


def _calibration(told: Mapping[str, Any]) -> str:
    ece, right = told["ECE"], told["right"]
    close = ece["mean"] <= _CLOSE and "close to the truth" or ece["mean"] <= _ROUGH and "roughly right"
    side = ""
    if not right["low"] <= told["said"] <= right["high"]:
        side = ", too sure on average" if told["said"] > right["high"] else ", not sure enough on average"
    return (
        f"Confidence is {close or 'not to be taken at its word'}{side}: it says {told['said']:.0%} where "
        f"{_share(right)} are right, off by {_share(ece)} (ECE)."
    )


def _verdicts(told: Mapping[str, Any], k: int) -> str:
    parts = [
        f"'{words}' {_share(one['right'])} of {one['searches']}"
        for words, one in told["verdicts"].items()
        if one["right"]
    ]
    return f"Right among the first {k}, by what was said: {'; '.join(parts)}."


def _abstention(told: Mapping[str, Any]) -> str:
    curve, area, top = told["abstention"]["confidence"], *(told["nAUC"][name] for name in SIGNALS)
    if area is None:
        return "Leaving out the least sure changes nothing: all searches end alike."
    half, least = curve["right"][5], told["abstention"]["top score"]["right"][5]
    return (
        f"Answering the surer half alone is right in {half:.0%} instead of {curve['right'][0]:.0%} (by the top score: "
        f"{least:.0%}); nAUC {number(area['mean'])} {interval(area)}, the top score's {number(top['mean'])}."
    )


def _coverage(row: Mapping[str, Any]) -> str:
    fixed = "no fixed number covers" if row["fixed"] is None else f"a fixed {row['fixed']:.1f} covers"
    return (
        f"Coverage of {row['coverage']:.0%}: {_kept(row)}, {_share(row['realised'])} of {row['queries']} queries have a right "
        f"text among {row['hits']['mean']:.1f} hits on average; {fixed} as many."
    )


def _kept(row: Mapping[str, Any]) -> str:
    """In words, whether what was promised came."""
    if row["realised"]["high"] < row["coverage"]:
        return "below the promise"
    return "more than promised" if row["realised"]["low"] > row["coverage"] else "as promised"


def _share(cell: Mapping[str, Any]) -> str:
    return f"{cell['mean']:.0%} [{100 * cell['low']:.0f}–{100 * cell['high']:.0f}]"


def _verdict_table(found: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        [words, one["searches"], one["said"], one["right"]]
        for words, one in found["confidence"]["verdicts"].items()
    ]
    return {
        "name": "verdicts",
        "title": f"What was said, and how often a right text was among the first {found['k']}",
        "columns": ["said", "searches", "confidence", "right"],
        "rows": rows,
    }


def _figure_table(found: Mapping[str, Any]) -> dict[str, Any]:
    told, relevance = found["confidence"], found["relevance"]
    rows = [
        [f"{name}", *((told[key] or {}).get(signal) for signal in SIGNALS), None]
        for name, key in (("nAUC", "nAUC"), ("AUROC, right", "AUROC"), ("AUROC, in here", "AUROC of answers"))
        if told[key] is not None
    ]
    rows.append(["ECE", told["ECE"], None, None])
    rows.append(["Brier", told["Brier"], None, None])
    if relevance is not None:
        for row in rows:
            row[3] = (
                relevance["AUROC"]
                if row[0] == "AUROC, right"
                else relevance["ECE"]
                if row[0] == "ECE"
                else None
            )
    difference = told["nAUC difference"]
    beside = (
        f"; confidence less top score, paired: {difference['mean']:+.3f} {interval(difference, '+z')}"
        if difference
        else ""
    )
    return {
        "name": "figures",
        "title": "How far to trust it",
        "columns": ["figure", *SIGNALS, "relevance of hits"],
        "rows": rows,
        "note": f"nAUC: 0 if leaving out the least sure helps no more than leaving out any, 1 for the best order (MTEB){beside}. "
        f"AUROC, right: P(what is right has more than what is not), in here: P(a search with an answer has more than one without). "
        f"Brier of a constant: {told['Brier of a constant']:.3f}. The ECE of a draw is higher than that of all, so its interval is, too",
    }


def _coverage_table(found: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        [f"{row['coverage']:.0%}", row["realised"], row["hits"], row["fixed"], _kept(row)]
        for row in found["coverage"]
    ]
    number_of = found["coverage"][0]["queries"] if rows else 0
    return {
        "name": "coverage",
        "title": f"Coverage, on the {number_of} queries with an answer in the index",
        "columns": ["promised", "realised", "hits", "fixed k as good", "in words"],
        "rows": rows,
        "note": "in words: whether the interval of what was realised leaves out the promise",
    }


def _curves(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    told, relevance, k = found["confidence"], found["relevance"], found["k"]
    panels = {f"confidence (first {k})": _reliability("confidence", told)}
    if relevance is not None:
        panels["relevance of a hit"] = _reliability("relevance", relevance)
    curves: list[dict[str, Any]] = [
        {
            "name": "reliability",
            "title": "Reliability: how often what it says is so",
            "note": f"{RELIABILITY_NOTE} Thin lines: Wilson's 95 % intervals.",
            "x": "what it says",
            "y": "share that was right",
            "diagonal": True,
            "panels": panels,
        },
        _risk_coverage(told["abstention"]),
    ]
    return [*curves, *(_coverage_curves(found["coverage"]) if found["coverage"] else ())]


def _reliability(label: str, told: Mapping[str, Any]) -> dict[str, Any]:
    remark = f"ECE {number(told['ECE']['mean'])}"
    return reliability_panel(label, told["bins"], "uec", remark, intervals=True)


def _risk_coverage(curves: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": "risk-coverage",
        "title": "Risk and coverage: answering only the surest",
        "note": f"From right to left the least sure searches are left unanswered; the steeper the rise, the better. {_BANDS}",
        "x": "share of queries answered",
        "y": "share of these that is right",
        "panels": {
            "all queries": {
                "x": curves["answered"],
                "lines": {name: curves[name]["right"] for name in SIGNALS},
                "bands": {name: {end: curves[name][end] for end in ("low", "high")} for name in SIGNALS},
            }
        },
    }


def _coverage_curves(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    promised = [row["coverage"] for row in rows]

    def panel(key: str, label: str) -> dict[str, Any]:
        cells = [row[key] for row in rows]
        return {
            "x": promised,
            "lines": {label: [cell["mean"] for cell in cells]},
            "bands": {label: {end: [cell[end] for cell in cells] for end in ("low", "high")}},
        }

    sizes = panel("hits", "as many as it takes")
    if all(row["fixed"] is not None for row in rows):
        sizes["lines"]["a fixed number that covers as much"] = [row["fixed"] for row in rows]
    return [
        {
            "name": "coverage",
            "title": "Coverage: how often a right text is among the hits",
            "note": "On the dashed line the promise is kept exactly. Shaded: Wilson's 95 % interval.",
            "x": "coverage asked for",
            "y": "share realised",
            "diagonal": True,
            "panels": {"queries with an answer in the index": panel("realised", "realised")},
        },
        {
            "name": "set-size",
            "title": "Set size: hits that a coverage takes",
            "note": f"The lower the better. {_BANDS}",
            "x": "coverage asked for",
            "y": "hits, mean over queries",
            "panels": {"queries with an answer in the index": sizes},
        },
    ]
