"""`uec eval sts` and `uec eval classification`."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from uec_retriever.cli.common import (
    DEVICE,
    JSON,
    TRUST,
    errors,
    load_experts,
    output,
    print_json,
    status,
)
from uec_retriever.errors import StorageError

EXPERT = Annotated[
    list[str],
    typer.Option("--expert", help="A sentence-transformers model as LABEL=PATH. Repeat.", show_default=False),
]
LIMIT = Annotated[
    int | None,
    typer.Option(min=1, help="At most this many test texts or pairs of each set, a random sample."),
]
PAIRS = Annotated[int, typer.Option(min=16, help="At most this many calibration pairs for the posteriors.")]
TEMPERATURE = Annotated[
    float | None, typer.Option(help="T of the coefficients; chosen on held-out calibration pairs if absent.")
]
OUT = Annotated[Path | None, typer.Option(help="Folder for the JSON.")]
SEED = Annotated[int, typer.Option(help="Of samples and bootstrap.")]


def register(app: typer.Typer) -> None:
    """Add both commands to `uec eval`."""
    app.command("sts")(sts)
    app.command("classification")(classification)


def sts(
    data: Annotated[
        list[Path],
        typer.Option(
            help="Folder with pairs.tsv (score, sentence, sentence) and perhaps train.tsv. Repeat.",
            show_default=False,
        ),
    ],
    expert: EXPERT,
    limit: LIMIT = None,
    calibration_pairs: PAIRS = 320,
    temperature: TEMPERATURE = None,
    out: OUT = None,
    seed: SEED = 0,
    device: DEVICE = None,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Spearman correlation of sentence pairs with gold scores, each method on the same embeddings.

    Example: `uec eval sts --data stsb --expert mini=MODEL --expert static=MODEL --out results`
    """
    experts = load_experts(expert, device, trust_remote_code)
    from uec_retriever.evaluation.report import provenance
    from uec_retriever.evaluation.sts import StsOptions, run_sts

    begun = provenance(seed)
    options = StsOptions(limit=limit, calibration_pairs=calibration_pairs, temperature=temperature, seed=seed)
    with _progress() as tell:
        result = run_sts(data, experts, options, tell)
    _finish("sts", {**begun, "models": {e.label: e.name for e in experts}, **result}, out, json, show_sts)


def classification(
    data: Annotated[
        list[Path],
        typer.Option(
            help="Folder with train.tsv and test.tsv (label, text) and perhaps oos_test.tsv. Repeat.",
            show_default=False,
        ),
    ],
    expert: EXPERT,
    limit: LIMIT = None,
    labels: Annotated[int | None, typer.Option(min=2, help="At most this many labels of each set.")] = None,
    per_label: Annotated[int, typer.Option(min=1, help="Training texts of each label in a round.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Training samples; figures are means over them.")] = 10,
    calibration_pairs: PAIRS = 320,
    temperature: TEMPERATURE = None,
    out: OUT = None,
    seed: SEED = 0,
    device: DEVICE = None,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Accuracy, macro F1 and AUROC of a logistic probe as in MTEB; out-of-scope texts by uncertainty.

    Example: `uec eval classification --data clinc150 --expert mini=MODEL --expert static=MODEL --rounds 3`
    """
    experts = load_experts(expert, device, trust_remote_code)
    from uec_retriever.evaluation.classification import ClassificationOptions, run_classification
    from uec_retriever.evaluation.report import provenance

    begun = provenance(seed)
    options = ClassificationOptions(limit, labels, per_label, rounds, calibration_pairs, temperature, seed)
    with _progress() as tell:
        result = run_classification(data, experts, options, tell)
    full = {**begun, "models": {e.label: e.name for e in experts}, **result}
    _finish("classification", full, out, json, show_classification)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    with status("Evaluating") as spinner:

        def tell(what: str, done: int, total: int) -> None:
            if spinner is not None:
                spinner.update(f"{what} {done}/{total}")

        yield tell


def _finish(
    name: str, full: dict[str, Any], out: Path | None, json: bool, show: Callable[[dict[str, Any]], None]
) -> None:
    if out:
        target = out / f"{name}.json"
        try:
            out.mkdir(parents=True, exist_ok=True)
            target.write_text(json_module.dumps(full, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise StorageError(f"cannot write to {out}: {error.strerror}") from error
        errors.print(f"written to {target}")
    if json:
        print_json(full)
    else:
        show(full)


def show_sts(result: dict[str, Any]) -> None:
    """Spearman of each method and set."""
    names = list(result["sets"])
    table = _table("Spearman [95 % interval]", [*names, "mean"])
    for label in result["mean"]:
        found = [result["sets"][name]["methods"][label]["Spearman"] for name in names]
        table.add_row(label, *map(_cell, found), _cell(result["mean"][label]["Spearman"]))
    output.print(table)
    _footnote(result)


def show_classification(result: dict[str, Any]) -> None:
    """Accuracy, F1 and AUROC of each method, and AUROC of out-of-scope signals, set by set."""
    for name, found in result["sets"].items():
        title = (
            f"{name}: {found['classes']} classes, {found['train']} training texts, {found['test']} test texts"
        )
        table = _table(title, ["accuracy", "macro F1", "AUROC"])
        for label, row in found["methods"].items():
            auroc = "-" if row["AUROC"] is None else f"{row['AUROC']:.3f}"
            table.add_row(label, _cell(row["accuracy"]), f"{row['macro F1']:.3f}", auroc)
        output.print(table)
        if "out_of_scope" in found:
            table = _table(f"{name}: {found['out_of_scope_texts']} out-of-scope texts", ["AUROC"])
            ranked = sorted(found["out_of_scope"].items(), key=lambda item: -item[1]["AUROC"])
            for label, cell in ranked:
                table.add_row(label, f"{cell['AUROC']:.3f} [{cell['low']:.3f}, {cell['high']:.3f}]")
            output.print(table)
    _footnote(result)


def _table(title: str, columns: list[str]) -> Table:
    return Table(
        Column("", no_wrap=True), *columns, title=title, title_justify="left", box=None, title_style="bold"
    )


def _cell(cell: dict[str, Any]) -> str:
    difference = cell["difference"]
    clear = difference["low"] > 0 or difference["high"] < 0
    return f"{cell['mean']:.3f}{'*' if clear else ''}\n[{cell['low']:.3f}, {cell['high']:.3f}]"


def _footnote(result: dict[str, Any]) -> None:
    output.print(f"* the paired 95 % interval of the difference to {result['baseline']} leaves out 0")
