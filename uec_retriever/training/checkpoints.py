"""The folder of a training run: what belongs to which run, and where to go on."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from uec_retriever.data.json_text import parse_object, read_json
from uec_retriever.data.rows import ROW, RowError, read_row
from uec_retriever.errors import InvalidInputError, TrainingError
from uec_retriever.utility_labeler.files import write_json

REPORT = "training.json"
_FOLDER, _RUN, _WEIGHTS = "checkpoints", "run.json", "trained.safetensors"
_NEEDED = ("trainer_state.json", "optimizer.pt", "scheduler.pt", _WEIGHTS)


@dataclass(frozen=True)
class _Run:
    """What tells which run a folder is of."""

    __pydantic_config__ = ROW

    fingerprint: str


class RunFolder:
    """Output folder of a run; its checkpoints are in `checkpoints/` until the run is finished.

    Args:
        out: where the model goes.
        fingerprint: of base model, data and options.
    """

    def __init__(self, out: Path, fingerprint: str) -> None:
        self.out = out
        self.checkpoints = out / _FOLDER
        self._fingerprint = fingerprint

    def prepare(self, *, resume: bool, overwrite: bool) -> Path | None:
        """See that the folder is fit for the run.

        Returns:
            The checkpoint to go on from, if any.

        Raises:
            TrainingError: if something else is there, with the option that decides.
        """
        started = self.checkpoints / _RUN
        if overwrite and (started.is_file() or (self.out / REPORT).is_file()):  # nothing that is no run
            shutil.rmtree(self.out)
        if self.out.is_file():
            raise TrainingError(f"{self.out} is a file: give a folder for the model")
        if (self.out / REPORT).is_file():
            raise TrainingError(f"{self.out} holds a finished model: give another folder, or overwrite it")
        if started.is_file():
            self._require_same_run(started)
            if not resume:
                raise TrainingError(
                    f"a run was interrupted in {self.out}: resume it, or overwrite it to start anew"
                )
            return self.latest()
        if self.out.is_dir() and any(self.out.iterdir()):
            raise TrainingError(f"{self.out} is not empty and no training run: give another folder")
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        write_json(started, {"fingerprint": self._fingerprint})
        return None

    def latest(self) -> Path | None:
        """The newest complete checkpoint; one that a kill cut off is passed over."""
        found = sorted(self.checkpoints.glob("checkpoint-*"), key=_step, reverse=True)
        return next((p for p in found if _complete(p)), None)

    def finish(self, report: dict[str, Any]) -> None:
        """Write the report, which says that the model is finished, and drop the checkpoints."""
        write_json(self.out / REPORT, report)
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def _require_same_run(self, started: Path) -> None:
        try:
            known = read_row(_Run, read_json(started)).fingerprint
        except RowError as error:
            if error.newer:
                raise TrainingError(
                    f"a newer version began the run in {self.out} ({error}): upgrade with "
                    "pip install --upgrade uec-retriever, or overwrite the run to start anew"
                ) from error
            raise TrainingError(f"{started} is damaged ({error}): overwrite the run to start anew") from error
        except InvalidInputError as error:
            raise TrainingError(f"{started} is damaged ({error}): overwrite the run to start anew") from error
        if known != self._fingerprint:
            raise TrainingError(
                f"the run that was interrupted in {self.out} had another base model, data or options: "
                "repeat them to resume it, give another folder, or overwrite it"
            )


def save_trained(model: nn.Module, folder: Path) -> None:
    """Write what training changes: trainable parameters and buffers."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().cpu().contiguous() for k, v in _trained_state(model).items()}, folder / _WEIGHTS)


def load_trained(model: nn.Module, folder: Path) -> None:
    """Read it back into a model of the same make.

    Raises:
        TrainingError: if the file is damaged or of another model.
    """
    try:
        state = load_file(folder / _WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"the checkpoint {folder} is damaged: overwrite the run to start anew") from error
    if state.keys() != _trained_state(model).keys():
        raise TrainingError(f"the checkpoint {folder} is of another model: overwrite the run to start anew")
    model.load_state_dict(state, strict=False)


def _trained_state(model: nn.Module) -> dict[str, torch.Tensor]:
    state = {name: p.data for name, p in model.named_parameters() if p.requires_grad}
    saved = model.state_dict().keys()
    return state | {name: b for name, b in model.named_buffers() if name in saved}


def _step(checkpoint: Path) -> int:
    """Of a checkpoint's name; -1 for a folder that the trainer did not name."""
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() and len(number) < 20 else -1


def _complete(checkpoint: Path) -> bool:
    """The trainer's state is written last; the weights must be readable."""
    if not all((checkpoint / name).is_file() for name in _NEEDED):
        return False
    try:
        parse_object((checkpoint / _NEEDED[0]).read_bytes())
        load_file(checkpoint / _WEIGHTS)
    except (OSError, InvalidInputError, SafetensorError):
        return False
    return True
