"""The same labelling as a Ray Data job, on one machine or many: each worker loads the judge and labels chunks.

Needs the extra `ray`. Files are written by the process that started the run, so resuming works as it does without
Ray; a chunk of a worker that died is labelled again by another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from uec_retriever.errors import ModelMismatchError
from uec_retriever.ray_pool import RayPool
from uec_retriever.utility_labeler.judge_spec import JudgeSpec
from uec_retriever.utility_labeler.labeler import Labeler
from uec_retriever.utility_labeler.labels import Label
from uec_retriever.utility_labeler.prompts import Prompt
from uec_retriever.utility_labeler.questions import Pair
from uec_retriever.utility_labeler.utility import LabelOptions


class RayEngine:
    """Labels chunks on Ray actors; pass it to `label_utilities(execute=...)`. For indexing: `engine.ray_encoder`.

    Args:
        spec: how each worker loads the judge. Its paths must exist on every machine.
        workers: actors, at least 1.
        cpus: of each actor, for Ray's scheduler, above 0.
        gpus: of each actor, at least 0; without any it sees none.

    Raises:
        InvalidInputError: for a number out of range.
    """

    def __init__(self, spec: JudgeSpec, *, workers: int = 2, cpus: float = 1, gpus: float = 0) -> None:
        self._spec = spec
        self._pool = RayPool(workers=workers, cpus=cpus, gpus=gpus)

    def __call__(self, labeler: Labeler, chunks: Sequence[Sequence[Pair]]) -> Iterator[list[Label]]:
        """Labels of each chunk, in order.

        Raises:
            ModelMismatchError: if a worker loads another model than the one that the run began with.
            WorkerError: if Ray itself fails.
        """
        make = partial(_Worker, self._spec, labeler.prompts, labeler.options, labeler.run)
        for lines in self._pool.map(make, chunks):
            yield [Label.from_json(line) for line in lines]


class _Worker:
    """A judge and its labeler on one actor."""

    def __init__(self, spec: JudgeSpec, prompts: Sequence[Prompt], options: LabelOptions, run: str) -> None:
        self._labeler = Labeler(spec.load(), prompts, options)
        if self._labeler.run != run:
            raise ModelMismatchError(
                f"a worker loaded another model than the run began with ({self._labeler.run}, not {run}): give every "
                "machine the same files"
            )

    def __call__(self, chunk: Sequence[Pair]) -> list[str]:
        return [label.to_json() for label in self._labeler.label(chunk)]
