"""Work on Ray Data actors: a stream of jobs goes out, their results come back in its order.

Needs the extra `ray`. The jobs may be any number, as they are read one by one: those on the way are a bounded window.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import count
from typing import Any, TypeVar

from uec_retriever.checks.numbers import ABOVE_0, FINITE, check_number, check_whole
from uec_retriever.errors import InvalidInputError, MissingExtraError, UECError, WorkerError
from uec_retriever.ray_worker import Worker

try:
    import pyarrow
    import ray
    import ray.data
    from ray.data.block import BlockMetadata
    from ray.data.datasource import Datasource, ReadTask
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise MissingExtraError('Ray is not installed: pip install "uec-retriever[ray]"') from error

Job = TypeVar("Job")
Result = TypeVar("Result")
_logger = logging.getLogger(__name__)
_WINDOW = 3  # jobs on the way for each worker: one at work, one waiting, one done behind a slower one


class RayPool:
    """How many actors there are, and what each needs.

    Args:
        workers: actors, at least 1.
        cpus: of each actor, for Ray's scheduler, above 0.
        gpus: of each actor: 0, a part of one, or some. It sees no other, and without any none.

    Raises:
        InvalidInputError: for a number out of range.
    """

    def __init__(self, *, workers: int = 2, cpus: float = 1, gpus: float = 0) -> None:
        self._workers = check_whole("workers", workers, 1)
        # without cpus Ray Data would put all work into the one task that reads the jobs
        self._cpus = check_number("cpus", cpus, "a number above 0", ABOVE_0, FINITE)
        self._gpus = check_number("gpus", gpus, "a number >= 0", 0, FINITE)
        if self._gpus > 1 and self._gpus % 1:
            raise InvalidInputError(f"gpus must be a part of one or a whole number, got {gpus}")

    def map(
        self, make: Callable[[], Callable[[Job], Result]], jobs: Iterable[Job]
    ) -> Generator[Result, None, None]:
        """Results of jobs, in the order of the jobs.

        A job counts as on the way until the caller asks for the next result. Jobs of a worker that died are done again.
        If `jobs` raises, that is raised when all results before are out. Without jobs Ray is not started.

        Args:
            make: makes, on each actor, what does the jobs there; picklable.
            jobs: picklable, read as there is room for them.

        Raises:
            Exception: what `make` or a job raised on its worker, in its turn.
            WorkerError: if Ray itself fails.
        """
        stream, window = iter(jobs), _WINDOW * self._workers
        run: _Run | None = None
        failure: Exception | None = None
        sent, given, ended = 0, 0, False
        try:
            while True:
                while not ended and sent - given < window:
                    try:
                        job = next(stream)
                    except StopIteration:
                        ended = True
                    except Exception as error:
                        failure, ended = error, True
                    else:
                        run = run or self._start(make)
                        run.send(sent, job)
                        sent += 1
                if run is not None:
                    run.tell(given, sent if ended else None)
                if run is None or sent == given:
                    break
                yield run.result(given)
                given += 1
        finally:
            if run is not None:
                run.close()
        if failure is not None:
            raise failure

    def _check_room(self) -> None:
        """Refuse actors that no machine has room for: Ray would wait for one without a word.

        A cluster may start another machine, so there it is a warning.
        """
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        wanted = {"CPU": self._cpus, "GPU": self._gpus}
        if any(all(machine.get(name, 0) >= n for name, n in wanted.items()) for machine in machines):
            return
        lacking = f"no machine that Ray has now has {self._cpus:g} CPUs and {self._gpus:g} GPUs for a worker"
        if "RAY_ADDRESS" not in os.environ:
            raise InvalidInputError(f"{lacking}: ask for fewer")
        _logger.warning("%s: waiting for one", lacking)

    def _start(self, make: Callable[[], Any]) -> _Run:
        """Actors that wait for jobs."""
        made = pickle.dumps(make)  # here, where what it raises is ours
        with _telling_of_ray():
            _connect()
            self._check_room()
            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
            feed = ray.remote(_Feed).options(num_cpus=0, scheduling_strategy=here).remote()
            with _context():
                dataset = ray.data.read_datasource(
                    _Jobs(feed), override_num_blocks=1, concurrency=1, num_cpus=0
                ).map(
                    Worker,
                    fn_constructor_args=(made, self._gpus > 0),
                    compute=ray.data.ActorPoolStrategy(size=self._workers, max_tasks_in_flight_per_actor=1),
                    num_cpus=self._cpus,
                    num_gpus=self._gpus,
                )  # Ray Data starts actors that died again, and repeats their tasks, without end
                batches = dataset.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow")
            return _Run(feed, iter(batches))


class _Run:
    """The caller's end of a running pool.

    Args:
        feed: handle of the `_Feed`.
        batches: tables of positions and outcomes, in any order.
    """

    def __init__(self, feed: Any, batches: Iterator[Any]) -> None:
        self._feed = feed
        self._batches = batches
        self._done: dict[int, bytes] = {}

    def send(self, position: int, job: object) -> None:
        with _telling_of_ray():
            ray.get(self._feed.put.remote(position, pickle.dumps(job)))

    def tell(self, given: int, end: int | None) -> None:
        """How many results are with the caller, and how many jobs there are, once that is known."""
        with _telling_of_ray():
            ray.get(self._feed.tell.remote(given, end))

    def result(self, position: int) -> Any:
        with _telling_of_ray():
            while position not in self._done:
                batch = next(self._batches)
                outcomes = zip(batch["position"].to_pylist(), batch["outcome"].to_pylist(), strict=True)
                self._done.update(o for o in outcomes if o[0] >= position)
        succeeded, value = pickle.loads(self._done.pop(position))
        if not succeeded:
            raise value
        return value

    def close(self) -> None:
        """Stop the actors."""
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()
        del self._batches
        with contextlib.suppress(Exception):  # Ray may be gone, which its caller has heard
            ray.kill(self._feed)


class _Feed:
    """A Ray actor that holds the jobs on the way, so that whoever reads them may die and read again."""

    def __init__(self) -> None:
        self._jobs: dict[int, bytes] = {}
        self._given = 0
        self._end: int | None = None
        self._changed = asyncio.Condition()

    async def put(self, position: int, job: bytes) -> None:
        async with self._changed:
            self._jobs[position] = job
            self._changed.notify_all()

    async def tell(self, given: int, end: int | None) -> None:
        async with self._changed:
            self._given, self._end = given, end
            for position in [p for p in self._jobs if p < given]:
                del self._jobs[position]
            self._changed.notify_all()

    async def get(self, position: int) -> bytes | None:
        """A job once it is there, nothing (b"") if its result is out, None behind the last one."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: position in self._jobs or position < self._given or position == self._end
            )
            return None if position == self._end else self._jobs.get(position, b"")


class _Jobs(Datasource):
    """The jobs of a feed: one task reads them, each into a block of its own."""

    def __init__(self, feed: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._feed = feed

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        feed = self._feed

        def read() -> Iterator[pyarrow.Table]:
            for position in count():
                job = ray.get(feed.get.remote(position))
                if job is None:
                    return
                yield pyarrow.table(
                    {"position": [position], "job": pyarrow.array([job], pyarrow.large_binary())}
                )

        return [ReadTask(read, BlockMetadata(None, None, None, None))]


@contextlib.contextmanager
def _telling_of_ray() -> Iterator[None]:
    try:
        yield
    except UECError:
        raise
    except (ray.exceptions.RayError, StopIteration, ConnectionError, ValueError, RuntimeError) as error:
        raise WorkerError(
            f"Ray failed ({type(error).__name__}: {error}): see its logs, and run the same again, which goes on where "
            "this stopped"
        ) from error


@contextlib.contextmanager
def _context() -> Iterator[None]:
    """Options of Ray Data for the data set that is made inside."""
    context = ray.data.DataContext.get_current()
    before = context.enable_progress_bars, context.target_max_block_size
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # else jobs wait until they are many enough for a block
    try:
        yield
    finally:
        context.enable_progress_bars, context.target_max_block_size = before


def _connect() -> None:
    """To the cluster in RAY_ADDRESS, or to one started here."""
    if ray.is_initialized():
        return
    before = signal.getsignal(signal.SIGTERM)
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    for handler in logging.getLogger("ray.data").handlers:  # its log files tell everything
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.ERROR)
    if callable(before) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray has put its own there
