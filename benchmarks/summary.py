"""Write the tables of benchmarks/RESULTS.md anew from benchmarks/results/*.json.

    python -m benchmarks.summary           # rewrite
    python -m benchmarks.summary --check   # exit 1 if they are out of date

What stands between `<!-- results:FILE/TABLE -->` and `<!-- /results:FILE/TABLE -->` is that table of
`results/FILE.json`; without `/TABLE` all its tables; `<!-- results:summary -->` is a line for each benchmark.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import RESULTS, ROOT, console
from benchmarks.markdown import markdown, markdown_table, rewrite_regions, source
from benchmarks.own_tables import OWN_TABLES
from uec_retriever.evaluation.report_page import Result, check_result
from uec_retriever.evaluation.report_page.results import is_clear
from uec_retriever.evaluation.report_page.tables import NOTHING, Entry, Row, Table, interval

FILES = (ROOT / "benchmarks" / "RESULTS.md",)
SUMMARY = "summary"
# file -> what the summary calls it
BENCHMARKS = {
    "domain_experts": "domain experts",
    "retrieval": "different architectures",
    "retrieval_mpnet": "different architectures with mpnet, small",
    "sts": "semantic textual similarity",
    "classification": "classification",
}
_SHOWN = ("uniform", "RRF", "UEC diag", "UEC kron", "UEC kron + words")


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite or check; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    parser.add_argument("files", nargs="*", type=Path, default=list(FILES), help="Markdown files")
    options = parser.parse_args(arguments)
    old = 0
    for path in options.files:
        text = path.read_text(encoding="utf-8")
        new = rewrite_regions(text, lambda name: fill(name, options.results))
        if new == text:
            continue
        old = 1
        if not options.check:
            path.write_text(new, encoding="utf-8")
        console.print(
            f"{path.name} {'is out of date: python -m benchmarks.summary' if options.check else 'rewritten'}"
        )
    return old if options.check else 0


def fill(name: str, folder: Path) -> str:
    """What stands in a region."""
    if name == SUMMARY:
        return summary(folder)
    file, _, table = name.partition("/")
    if file in OWN_TABLES:
        return _own(file, folder)
    result = load(file, folder)
    return missing(file, folder) if result is None else markdown(result, table or None)


def _own(file: str, folder: Path) -> str:
    path = folder / f"{file}.json"
    if not path.is_file():
        return missing(file, folder)
    content = json.loads(path.read_text(encoding="utf-8"))
    parts = [f"**{table.title}**\n\n{markdown_table(table)}" for table in OWN_TABLES[file](content)]
    return "\n\n".join([*parts, source(Result(path.name, file, content))])


def load(file: str, folder: Path) -> Result | None:
    """A result, or None if it is not there or was written by a benchmark of an earlier form."""
    path = folder / f"{file}.json"
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    if not {"kind", "scopes", "results"} & set(content):
        return None
    return check_result(content, path.name)


def missing(file: str, folder: Path) -> str:
    """Says plainly that there is no result."""
    alone = (ROOT / "benchmarks" / f"{file}.py").is_file()
    command = f"python -m benchmarks.{file}" if alone else "make benchmark"
    if (folder / f"{file}.json").is_file():
        return f"To be rerun, `{file}.json` is of an earlier form of the benchmark: `{command}`."
    return f"Not run yet: `{command}`."


def summary(folder: Path) -> str:
    """A line for each benchmark: the best single expert, the uniform ensemble and UEC, means over its sets."""
    rows, absent = [], []
    for file, title in BENCHMARKS.items():
        result = load(file, folder)
        if result is None:
            absent.append(f"{title}: {missing(file, folder)[0].lower()}{missing(file, folder)[1:]}")
            continue
        metric = str(result.metric)
        singles = [m for m, kind in result.methods.items() if kind == "single"]
        best = max(singles, key=lambda m: result.average(m, metric), default=None)
        cells = [_mean(result, m, metric) for m in (best, *_SHOWN)]
        about = f"{title}, {metric} ({len(result.sets)} sets)"
        rows.append(Row(about, (*cells, Entry(str(result.content["commit"] or "unknown")))))
    heads = ("benchmark", "best single expert", *_SHOWN, "commit")
    note = "* the paired 95 % interval of the difference to uniform leaves out 0"
    shown = markdown_table(Table(SUMMARY, "", heads, tuple(rows), (note,))) if rows else ""
    return "\n\n".join(part for part in (shown, "\n".join(f"- {line}" for line in absent)) if part)


def _mean(result: Result, label: str | None, metric: str) -> Entry:
    if label not in result.methods:
        return Entry(NOTHING)
    cell = result.mean_cell(label, metric)
    return Entry(f"{result.average(label, metric):.3f}", interval(cell) if cell else "", is_clear(cell))


if __name__ == "__main__":
    raise SystemExit(main())
