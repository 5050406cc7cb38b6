"""The same labelling as a Ray Data job, on one machine or many: each worker loads the judge and labels chunks.

Needs the extra `ray`. Files are written by the process that started the run, so resuming works as it does without
Ray; a chunk of a worker that died is labelled again by another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from uec_retriever.errors import InvalidInputError, MissingExtraError, ModelMismatchError
from uec_retriever.utility_labeler.judge_spec import JudgeSpec
from uec_retriever.utility_labeler.labeler import Labeler
from uec_retriever.utility_labeler.labels import Label
from uec_retriever.utility_labeler.prompts import Prompt
from uec_retriever.utility_labeler.questions import Pair
from uec_retriever.utility_labeler.utility import LabelOptions

try:
    import ray
    import ray.data
except ImportError as error:
    raise MissingExtraError('--engine ray needs Ray: pip install "uec-retriever[ray]"') from error


class RayEngine:
    """Labels chunks on Ray actors; pass it to `label_utilities(execute=...)`.

    Args:
        spec: how each worker loads the judge. Its paths must exist on every machine.
        workers: actors, at least 1.
        cpus: of each actor, for Ray's scheduler.
        gpus: of each actor.

    Raises:
        InvalidInputError: for no workers.
    """

    def __init__(self, spec: JudgeSpec, *, workers: int = 2, cpus: float = 1, gpus: float = 0) -> None:
        if workers < 1:
            raise InvalidInputError(f"workers is {workers}: at least 1")
        self._spec = spec
        self._workers = workers
        self._cpus = cpus
        self._gpus = gpus

    def __call__(self, labeler: Labeler, chunks: Sequence[Sequence[Pair]]) -> Iterator[list[Label]]:
        """Labels of each chunk, as they are done, in any order.

        Raises:
            ModelMismatchError: if a worker loads another model than the one that the run began with.
        """
        if not chunks:
            return
        if not ray.is_initialized():  # a cluster's address is taken from RAY_ADDRESS
            ray.init(include_dashboard=False, log_to_driver=False)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        dataset = ray.data.from_items(
            [{"chunk": list(chunk)} for chunk in chunks], override_num_blocks=len(chunks)
        ).map(
            _Worker,  # type: ignore[arg-type]  # Ray takes classes too
            fn_constructor_args=(self._spec, labeler.prompts, labeler.options, labeler.run),
            compute=ray.data.ActorPoolStrategy(size=self._workers, max_tasks_in_flight_per_actor=1),
            num_cpus=self._cpus,
            num_gpus=self._gpus,
            max_restarts=-1,
            max_task_retries=-1,
        )
        for row in dataset.iter_rows():
            yield [Label.from_json(line) for line in row["labels"]]


class _Worker:
    """One actor: a judge and its labeler."""

    def __init__(self, spec: JudgeSpec, prompts: Sequence[Prompt], options: LabelOptions, run: str) -> None:
        self._labeler = Labeler(spec.load(), prompts, options)
        if self._labeler.run != run:
            raise ModelMismatchError(
                f"a worker loaded another model than the run began with ({self._labeler.run}, not {run}): give every "
                "machine the same files"
            )

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"labels": [label.to_json() for label in self._labeler.label(row["chunk"])]}
