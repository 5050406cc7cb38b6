"""The sentence-transformers trainer, set up for a run."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from torch import nn
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from uec_retriever.training.checkpoints import RunFolder, load_trained, save_trained
from uec_retriever.training.data import GradedQuestion
from uec_retriever.training.dataset import column_prompts, column_tasks, make_dataset
from uec_retriever.training.distillation import PaddedDistillKLDivLoss
from uec_retriever.training.evaluator import METRIC, GradedNDCGEvaluator
from uec_retriever.training.loss import UtilityModulatedInfoNCELoss
from uec_retriever.training.options import TrainingOptions
from uec_retriever.training.report import StepProgress


class CheckpointedTrainer(SentenceTransformerTrainer):
    """Keeps in a checkpoint only what training changes, and never passes over one it cannot read.

    The base class loads a checkpoint as a model of its own, which adapters and models with code of their
    own may not survive, and only logs it when the best one cannot be loaded.
    """

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        save_trained(self.model, Path(str(output_dir or self.args.output_dir)))

    def _load_from_checkpoint(self, checkpoint_path: str, model: nn.Module | None = None) -> None:
        load_trained(self.model, Path(checkpoint_path))

    def _load_best_model(self) -> None:
        if self.state.best_model_checkpoint is not None:
            load_trained(self.model, Path(self.state.best_model_checkpoint))


class ReportProgress(TrainerCallback):
    """Tells a function of steps and held-out metrics."""

    def __init__(self, progress: StepProgress) -> None:
        self._progress = progress

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """A step is done."""
        self._progress(state.global_step, state.max_steps, {})

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **_: Any,
    ) -> None:
        """An evaluation is done."""
        self._progress(state.global_step, state.max_steps, _metrics(metrics or {}))


def make_loss(model: SentenceTransformer, options: TrainingOptions) -> nn.Module:
    """The loss of the options. InfoNCE is `uae` over one-hot utilities (`make_dataset`)."""
    if options.loss == "distill":
        return PaddedDistillKLDivLoss(model, options.tau, options.tau_u, options.mini_batch_size)
    margin = options.margin if options.loss == "uae" else None
    return UtilityModulatedInfoNCELoss(model, options.tau, options.tau_u, margin, options.mini_batch_size)


def run_trainer(
    model: SentenceTransformer,
    training: Sequence[GradedQuestion],
    held: Sequence[GradedQuestion],
    folder: RunFolder,
    checkpoint: Path | None,
    options: TrainingOptions,
    progress: StepProgress | None = None,
) -> dict[str, Any]:
    """Train the model in place; it ends with the best checkpoint's weights.

    Returns:
        `steps`, `best_step`, `before`, `after`, `history` and `seconds` of `TrainingReport`.
    """
    dataset = make_dataset(training, one_hot=options.loss == "infonce")
    evaluator, before = None, {}
    if held:
        distractors = [(c.id, c.text) for q in (*training, *held) for c in q.candidates]
        evaluator = GradedNDCGEvaluator(held, distractors, seed=options.seed)
        before = evaluator.measure(model)  # the base, in a resumed run too: weights come later
    if progress:
        progress(0, 0, before)
    trainer = CheckpointedTrainer(
        model=model,
        args=_arguments(model, dataset.column_names, len(training), folder, options, evaluator is not None),
        train_dataset=dataset,
        loss=make_loss(model, options),
        evaluator=evaluator,
        callbacks=_callbacks(evaluator is not None, options, progress),
    )
    trainer.remove_callback(PrinterCallback)
    start = time.monotonic()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.monotonic() - start
    best = trainer.state.best_global_step if evaluator else None
    history = [
        {"step": float(line["step"]), **_metrics(line)}
        for line in trainer.state.log_history
        if f"eval_{METRIC}" in line
    ]
    after = next((h for h in history if h["step"] == best), {})
    return {
        "steps": trainer.state.global_step,
        "best_step": best,
        "before": before,
        "after": {k: v for k, v in after.items() if k != "step"},
        "history": history,
        "seconds": seconds,
    }


def _arguments(
    model: SentenceTransformer,
    columns: Sequence[str],
    rows: int,
    folder: RunFolder,
    options: TrainingOptions,
    evaluated: bool,
) -> SentenceTransformerTrainingArguments:
    per_epoch = math.ceil(rows / options.batch_size)
    steps = math.ceil(per_epoch * options.epochs)
    every = max(1, min(steps, math.ceil(per_epoch / options.evaluations)))
    on_cpu = model.device.type == "cpu"
    texts = [c for c in columns if c != "label"]
    return SentenceTransformerTrainingArguments(
        output_dir=str(folder.checkpoints),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        warmup_steps=math.ceil(steps * options.warmup),
        weight_decay=options.weight_decay,
        eval_strategy="steps" if evaluated else "no",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=evaluated,
        metric_for_best_model=f"eval_{METRIC}" if evaluated else None,
        greater_is_better=True if evaluated else None,
        logging_steps=every,
        prompts=column_prompts(model, texts) or None,
        router_mapping=column_tasks(texts) if _is_routed(model) else None,
        seed=options.seed,
        bf16=options.bf16,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        restore_callback_states_from_checkpoint=True,  # patience goes on where it was
        report_to="none",
        disable_tqdm=True,
    )


def _is_routed(model: SentenceTransformer) -> bool:
    return any(type(module).__name__ == "Router" for module in model.children())


def _callbacks(
    evaluated: bool, options: TrainingOptions, progress: StepProgress | None
) -> list[TrainerCallback]:
    callbacks: list[TrainerCallback] = [ReportProgress(progress)] if progress else []
    if evaluated:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=options.patience))
    return callbacks


def _metrics(logged: Mapping[str, Any]) -> dict[str, float]:
    """`eval_ndcg@10` -> `ndcg@10`, and what else the evaluator measured."""
    return {
        key.removeprefix("eval_"): float(value)
        for key, value in logged.items()
        if key.startswith("eval_") and "ndcg" in key
    }
