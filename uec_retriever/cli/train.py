"""`uec train`: fine-tune a bi-encoder on utilities or relevance judgements."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uec_retriever.cli.common import (
    DEVICE,
    JSON,
    TRUST,
    WrongUsageError,
    bar,
    errors,
    must_exist,
    output,
    print_json,
    quiet_libraries,
    refuse_unused,
    status,
)
from uec_retriever.training.options import Loss

if TYPE_CHECKING:
    from uec_retriever.training import GradedQuestion, TrainingReport

_POSTERIOR = "posterior.safetensors"


def train(
    context: typer.Context,
    base: Annotated[
        str,
        typer.Option(
            help="A sentence-transformers model to start from: hub id or folder.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the trained model.", show_default=False)],
    labels: Annotated[
        Path | None, typer.Option(callback=must_exist, help="Label file of 'uec label'.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(callback=must_exist, help="BEIR folder instead: train on the judgements in its qrels."),
    ] = None,
    split: Annotated[str, typer.Option(help="Which qrels, with --data.")] = "train",
    loss: Annotated[
        Loss,
        typer.Option(help="uae: graded utilities; infonce: the best passage; distill: KL over candidates."),
    ] = "uae",
    epochs: Annotated[float, typer.Option(help="Passes over the questions, at most.")] = 2.0,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 5e-5,
    batch_size: Annotated[int, typer.Option(help="Questions in a batch.")] = 16,
    candidates: Annotated[int, typer.Option(help="At most this many candidates for each question.")] = 8,
    tau: Annotated[float, typer.Option(help="Temperature of the student.")] = 0.05,
    tau_u: Annotated[float, typer.Option(help="Temperature of the teacher, in nats.")] = 0.5,
    margin: Annotated[
        float,
        typer.Option(help="Candidates this close in utility (nats) push no other away; below 0 all do."),
    ] = 0.05,
    min_utility: Annotated[
        float | None, typer.Option(help="Leave out questions that no passage helps by this many nats.")
    ] = None,
    mini_batch: Annotated[
        int | None, typer.Option(help="Texts whose activations are kept at a time, to save memory.")
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Cut texts to this many tokens in training.")] = None,
    heldout: Annotated[
        float, typer.Option(help="Share of the questions that chooses the best checkpoint; 0 for none.")
    ] = 0.15,
    patience: Annotated[int, typer.Option(help="Evaluations without gain after which training stops.")] = 4,
    lora: Annotated[
        int | None, typer.Option(help="Train LoRA adapters of this rank, merged at the end (extra 'lora').")
    ] = None,
    bf16: Annotated[bool, typer.Option(help="Mixed precision, on hardware that has it.")] = False,
    seed: Annotated[int, typer.Option(help="Of everything drawn at random.")] = 0,
    fit_posterior: Annotated[
        bool, typer.Option(help=f"Fit its posterior, too: OUT/{_POSTERIOR}, for 'uec index --posterior'.")
    ] = False,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted run of the same options.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Remove an earlier run in OUT.")] = False,
    device: DEVICE = None,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Teach an embedding model which passages help a language model answer.

    The result is a plain sentence-transformers folder: an expert for `uec index`, or for use anywhere else.

    Example: `uec train --labels labels.jsonl --base sentence-transformers/all-MiniLM-L6-v2 --out my-model`
    """
    if (labels is None) == (data is None):
        raise WrongUsageError("give --labels or --data, one of them")
    if labels is not None:
        refuse_unused(context, "--labels", "split")
    with status("Reading the data"):
        quiet_libraries()
        from uec_retriever.training import TrainingOptions
        from uec_retriever.training.extras import require_train

        require_train(lora=lora is not None)
        options = TrainingOptions(
            loss=loss,
            epochs=epochs,
            learning_rate=lr,
            batch_size=batch_size,
            candidates=candidates,
            tau=tau,
            tau_u=tau_u,
            margin=margin if margin >= 0 else None,
            minimum_utility=min_utility,
            mini_batch_size=mini_batch,
            max_length=max_length,
            heldout=heldout,
            patience=patience,
            lora_rank=lora,
            bf16=bf16,
            seed=seed,
        )
        questions, source, judge = _read(labels, data, split)
    with _training_bar() as progress:
        from uec_retriever.training import train as run

        report = run(
            base,
            questions,
            out,
            options,
            data=source,
            judge=judge,
            resume=resume,
            overwrite=overwrite,
            device=device,
            trust_remote_code=trust_remote_code,
            progress=progress,
        )
    posterior = _fit_posterior(out, questions, device, trust_remote_code, seed) if fit_posterior else None
    if json:
        print_json({**asdict(report), "out": str(out), "posterior": str(posterior) if posterior else None})
        return
    _show(report, out, posterior)


def _read(
    labels: Path | None, data: Path | None, split: str
) -> tuple[list[GradedQuestion], str, dict[str, Any] | None]:
    """Questions, what they come from, and the judge's manifest."""
    from uec_retriever.training import questions_from_labels, questions_from_qrels
    from uec_retriever.utility_labeler.files import read_manifest
    from uec_retriever.utility_labeler.labels import read_labels

    if labels is not None:
        return questions_from_labels(read_labels(labels)), labels.name, read_manifest(labels)
    assert data is not None
    return questions_from_qrels(data, split), f"{data.name} {split} qrels", None


@contextlib.contextmanager
def _training_bar() -> Any:
    """A bar of steps, begun when their number is known; held-out figures are printed as they come."""
    with contextlib.ExitStack() as stack:
        state: dict[str, Any] = {"done": 0}

        def progress(step: int, total: int, metrics: Mapping[str, float]) -> None:
            if total and "advance" not in state:
                state["advance"] = stack.enter_context(bar("Training", total))
            if total and step > state["done"]:
                advance: Callable[[float], None] = state["advance"]
                advance(step - state["done"])
                state["done"] = step
            if metrics:
                errors.print(f"{'before' if not total else f'step {step}'}: {_figures(metrics)}")

        yield progress


def _fit_posterior(
    out: Path, questions: list[GradedQuestion], device: str | None, trust_remote_code: bool, seed: int
) -> Path:
    """Fit the trained model's posterior on the questions and their best passages."""
    from uec_retriever.experts.expert import Expert
    from uec_retriever.experts.fitting import fit_posterior
    from uec_retriever.laplace.files import save_posterior
    from uec_retriever.training.data import calibration_pairs

    expert = Expert.load(str(out), device=device, trust_remote_code=trust_remote_code)
    pairs = calibration_pairs(questions, seed)
    with bar("Fitting the posterior", 2 * len(pairs)) as progress:
        fit = fit_posterior(expert, pairs, progress=progress)
    save_posterior(out / _POSTERIOR, fit.posterior, fit.header)
    return out / _POSTERIOR


def _show(report: TrainingReport, out: Path, posterior: Path | None) -> None:
    output.print(
        f"{out}: trained on {report.questions} questions with {report.candidates} candidates, {report.steps} steps"
        + (f", kept step {report.best_step}" if report.best_step is not None else "")
        + f", {report.seconds:.0f} s"
    )
    if report.after:
        output.print(f"held out ({report.heldout_questions} questions), before: {_figures(report.before)}")
        output.print(f"held out ({report.heldout_questions} questions), after:  {_figures(report.after)}")
    if posterior:
        output.print(f"posterior: {posterior}")


def _figures(metrics: Mapping[str, float]) -> str:
    names = {
        "ndcg@10": "nDCG@10",
        "pool_ndcg@10": "among all passages",
        "list_ndcg@10": "among its candidates",
    }
    return ", ".join(f"{names[name]} {value:.4f}" for name, value in metrics.items() if name in names)
