"""The model card: what the library writes, and above it what this training was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uec_retriever.training.report import TrainingReport

_TITLES = {
    "ndcg@10": "nDCG@10, mean of the two below",
    "pool_ndcg@10": "nDCG@10 among all held-out and other labelled passages",
    "list_ndcg@10": "nDCG@10 within a question's labelled candidates",
}
_LOSSES = {
    "uae": "Utility-Modulated InfoNCE (arXiv 2604.22722)",
    "infonce": "InfoNCE on each question's best candidate",
    "distill": "KL distillation over each question's candidates",
}


def write_card(path: Path, report: TrainingReport) -> None:
    """Put the section on this training into a model card, after its front matter and title.

    Args:
        path: README.md as the library wrote it; made if absent.
        report: of the run.
    """
    card = path.read_text(encoding="utf-8") if path.is_file() else ""
    card = card.replace(report.base, display_name(report.base))
    front, body = _front_matter(card)
    title, rest = _title(body)
    path.write_text(f"{front}{title}\n{training_section(report)}\n{rest}", encoding="utf-8")


def training_section(report: TrainingReport) -> str:
    """Markdown: data, judge, options and figures."""
    options = report.options
    lines = [
        "## Utility-aligned training",
        "",
        f"- **Base model:** {display_name(report.base)}",
        f"- **Data:** {report.data}: {report.questions} questions with {report.candidates} candidate passages, "
        f"{report.heldout_questions} more questions held out to choose the checkpoint",
        f"- **Judge:** {judge_name(report.judge)}",
        f"- **Loss:** {_LOSSES[options['loss']]}; tau {options['tau']}, tau_u {options['tau_u']}, "
        f"margin {options['margin']}",
        f"- **Training:** {report.steps} steps of {options['batch_size']} questions, learning rate "
        f"{options['learning_rate']}, seed {options['seed']}, "
        + (f"LoRA of rank {options['lora_rank']}, merged, " if options["lora_rank"] else "all weights, ")
        + f"texts cut to {options['max_length'] or 'the model’s own maximal length'}"
        + (" tokens" if options["max_length"] else ""),
        "",
    ]
    if report.after:
        lines += [
            "| held-out, graded gains | before | after |",
            "|---|---|---|",
            *(
                f"| {_TITLES.get(name, name)} | {report.before[name]:.4f} | {value:.4f} |"
                for name, value in report.after.items()
            ),
            "",
            f"The checkpoint of step {report.best_step} was chosen on these held-out questions, "
            "so the figures flatter it; measure on a test set.",
            "",
        ]
    return "\n".join(lines)


def judge_name(manifest: Mapping[str, Any] | None) -> str:
    """The LLM that made the labels, as its manifest names it."""
    if not manifest:
        return "none recorded"
    judge = manifest.get("judge")
    if isinstance(judge, Mapping) and isinstance(name := judge.get("name"), str):
        return f"{display_name(name)} {judge.get('gguf_file') or ''}".strip()
    return "unnamed in its manifest"


def display_name(model: str) -> str:
    """A hub id as it is; of a path only its last part: a card shows no machine's folders."""
    if Path(model).is_absolute() or PureWindowsPath(model).is_absolute() or Path(model).expanduser().exists():
        return [part for part in re.split(r"[/\\]", model) if part][-1]
    return model


def _front_matter(card: str) -> tuple[str, str]:
    match = re.match(r"---\n.*?\n---\n", card, flags=re.DOTALL)
    return (match.group(), card[match.end() :]) if match else ("", card)


def _title(body: str) -> tuple[str, str]:
    match = re.match(r"\s*# [^\n]*\n", body)
    return (match.group(), body[match.end() :]) if match else ("", body)
