"""Training runs: data in, a plain sentence-transformers folder out, resumable in between."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from transformers import set_seed

from uec_retriever.data.provenance import digest
from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.loading import load_model
from uec_retriever.training.card import write_card
from uec_retriever.training.checkpoints import RunFolder
from uec_retriever.training.data import (
    GradedQuestion,
    questions_from_labels,
    questions_from_qrels,
    split_heldout,
    useful,
)
from uec_retriever.training.extras import require_train
from uec_retriever.training.lora import add_adapters, merge_adapters
from uec_retriever.training.options import TrainingOptions
from uec_retriever.training.report import StepProgress, TrainingReport
from uec_retriever.utility_labeler.files import read_manifest
from uec_retriever.utility_labeler.labels import read_labels

logger = logging.getLogger(__name__)


def train_on_labels(
    base: str, labels: Path, out: Path, options: TrainingOptions | None = None, **keywords: Any
) -> TrainingReport:
    """Train on a label file of `uec label`; its name and its judge are noted on the model card.

    Args:
        base: hub id or folder of a sentence-transformers model.
        labels: the file.
        out: folder to write; must not hold anything else.
        options: defaults if absent.
        keywords: `heldout`, `resume`, `overwrite`, `device`, `trust_remote_code`, `progress`: handed on to `train`.

    Raises:
        LabelError: naming the line that is not a label.
        UECError: whatever else `train` refuses.
    """
    questions = questions_from_labels(read_labels(labels))
    return train(base, questions, out, options, data=labels.name, judge=read_manifest(labels), **keywords)


def train_on_qrels(
    base: str,
    folder: Path,
    out: Path,
    options: TrainingOptions | None = None,
    *,
    split: str = "train",
    **keywords: Any,
) -> TrainingReport:
    """Train on a BEIR folder's (query, relevant passage) pairs with in-batch negatives: domain fine-tuning.

    The same path as labels: grades are the utilities, a query's relevant passages are no negatives of each
    other, and a held-out part chooses the checkpoint.

    Args:
        base: hub id or folder of a sentence-transformers model.
        folder: with `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`.
        out: folder to write; must not hold anything else.
        options: defaults if absent.
        split: which qrels.
        keywords: `heldout`, `resume`, `overwrite`, `device`, `trust_remote_code`, `progress`: handed on to `train`.

    Raises:
        CorpusError: for a file that cannot be read.
        UECError: whatever else `train` refuses.
    """
    questions = questions_from_qrels(folder, split)
    return train(base, questions, out, options, data=f"{folder.name} {split} qrels", **keywords)


def train(
    base: str,
    questions: Iterable[GradedQuestion],
    out: Path,
    options: TrainingOptions | None = None,
    *,
    heldout: Sequence[GradedQuestion] | None = None,
    data: str = "questions",
    judge: dict[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: str | None = None,
    trust_remote_code: bool = False,
    progress: StepProgress | None = None,
) -> TrainingReport:
    """Fine-tune a bi-encoder, choose its best checkpoint on held-out questions, and save it.

    The folder loads with `SentenceTransformer(out)` and `Expert.load(out)`. A killed run keeps its
    checkpoints; `resume` goes on from the newest complete one, with the same random numbers.

    Args:
        base: hub id or folder of a sentence-transformers model.
        questions: with candidates of known utility.
        out: folder to write; must not hold anything else.
        options: defaults if absent.
        heldout: held-out questions, if not a share of `questions` (`TrainingOptions.heldout`).
        data: what the questions came from, for the model card.
        judge: manifest of the label run, for the model card.
        resume: go on with an interrupted run of the same base, data and options; start one if there is none.
        overwrite: remove an earlier run in `out`.
        device: torch device; a GPU if there is one.
        trust_remote_code: run code that comes with the model.
        progress: called with steps done, steps in all, and new held-out metrics (mostly none).

    Raises:
        MissingExtraError: without the extra `train`, or `lora` where it is asked for.
        InvalidInputError: for data that cannot be trained on.
        ModelNotFoundError: if the base cannot be loaded.
        TrainingError: if `out` holds something else.
    """
    options = options or TrainingOptions()
    require_train(lora=options.lora_rank is not None)
    from uec_retriever.training.dataset import choose_candidates
    from uec_retriever.training.loop import run_trainer

    training, held = _split(list(questions), heldout, options)
    fingerprint = digest([base, options.to_dict(), [asdict(q) for q in (*training, *held)]])
    folder = RunFolder(Path(out), fingerprint)
    checkpoint = folder.prepare(resume=resume, overwrite=overwrite)
    model = _load_base(base, options, device, trust_remote_code)
    own_length = model.max_seq_length
    if options.max_length is not None:
        _limit_length(model, options.max_length)
    training = choose_candidates(model, training, options)
    if options.lora_rank is not None:
        add_adapters(model, options.lora_rank, options.lora_alpha)
    outcome = run_trainer(model, training, held, folder, checkpoint, options, progress)
    if options.lora_rank is not None:
        merge_adapters(model)
    if options.max_length is not None:
        _limit_length(model, own_length)
    report = TrainingReport(
        base=base,
        data=data,
        options=options.to_dict(),
        questions=len(training),
        candidates=sum(len(q.candidates) for q in training),
        heldout_questions=len(held),
        judge=judge,
        **outcome,
    )
    if report.after and report.after["ndcg@10"] <= report.before["ndcg@10"]:
        logger.warning(
            "training did not improve the held-out nDCG@10 (%.4f before, %.4f after): prefer the base model, "
            "or label more questions",
            report.before["ndcg@10"],
            report.after["ndcg@10"],
        )
    _save(model, folder, report)
    return report


def _split(
    questions: list[GradedQuestion], heldout: Sequence[GradedQuestion] | None, options: TrainingOptions
) -> tuple[list[GradedQuestion], list[GradedQuestion]]:
    """Questions to train on, those with something to learn, and held-out ones."""
    if heldout is None:
        training, held = split_heldout(questions, options.heldout, options.seed)
    else:
        training, held = questions, list(heldout)
    training = useful(training, options.minimum_utility)
    if options.loss == "distill":
        training = [q for q in training if len(q.candidates) > 1]
    if len(training) < 2:
        raise InvalidInputError(
            f"{len(training)} questions are left to train on: label more of them, or lower minimum_utility"
        )
    return training, held


def _load_base(
    base: str, options: TrainingOptions, device: str | None, trust_remote_code: bool
) -> SentenceTransformer:
    set_seed(options.seed)
    model = load_model(base, device=device, trust_remote_code=trust_remote_code)
    model.model_card_data.widget = [{}]  # or the trainer puts sample texts there, with a progress bar
    return model


def _limit_length(model: SentenceTransformer, length: int | None) -> None:
    if model.max_seq_length is not None and length is not None:
        model.max_seq_length = length


def _save(model: SentenceTransformer, folder: RunFolder, report: TrainingReport) -> None:
    """Write the model beside the checkpoints, then the report that says it is whole."""
    staging = folder.checkpoints / "model"
    shutil.rmtree(staging, ignore_errors=True)
    model.model_card_data.widget = []
    model.save_pretrained(str(staging))
    write_card(staging / "README.md", report)
    for item in sorted(staging.iterdir()):
        target = folder.out / item.name
        if target.is_dir():
            shutil.rmtree(target)
        item.replace(target)
    folder.finish(asdict(report))
