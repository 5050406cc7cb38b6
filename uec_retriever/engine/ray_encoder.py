"""Encoding as a Ray Data job, on one machine or many: each worker loads the experts and encodes chunks.

Needs the extra `ray`. Chunks are stored by the process that started it, in order, so an interrupted run goes on as it
does without Ray; a chunk of a worker that died is encoded again by another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from functools import partial

from uec_retriever.data.progress import FineProgress
from uec_retriever.engine.add import Texts, encode
from uec_retriever.engine.ensemble import EncodedTexts, Ensemble
from uec_retriever.ray_pool import RayPool


class RayEncoder:
    """Encodes on Ray actors; pass it to `Engine.add(execute=...)`.

    Each actor loads the models anew, from where the experts of the index have theirs: hub ids and folders must exist on
    every machine. Posteriors travel with the job.

    Args:
        workers: actors, at least 1.
        cpus: of each actor, for Ray's scheduler, above 0.
        gpus: of each actor, at least 0; without any it sees none.

    Raises:
        InvalidInputError: for a number out of range.
    """

    def __init__(self, *, workers: int = 2, cpus: float = 1, gpus: float = 0) -> None:
        self._pool = RayPool(workers=workers, cpus=cpus, gpus=gpus)

    def __call__(
        self, ensemble: Ensemble, chunks: Iterable[Texts], batch_size: int, progress: FineProgress
    ) -> Generator[EncodedTexts | None, None, None]:
        """What the chunks are, in order; as many are read ahead as keep the workers busy.

        Args:
            ensemble: the experts, each loaded by name or from a folder.
            chunks: of texts, maybe without any.
            batch_size: texts in one forward pass.
            progress: called with the number of texts of each chunk, when it is done.

        Raises:
            InvalidInputError: for an expert made of a model in memory, which no worker could load.
            ModelMismatchError: if a worker loads another model than the index was made with.
            NumericalError: with the position in its chunk of a text whose embedding is NaN or infinite.
            WorkerError: if Ray itself fails.
        """
        sizes: deque[int] = deque()

        def counted() -> Iterator[Texts]:
            for texts in chunks:
                sizes.append(len(texts))
                yield texts

        # without its codec, which only who stores needs
        make = partial(_Worker, partial(Ensemble, ensemble.experts, ensemble.manifest), batch_size)
        for encoded in self._pool.map(make, counted()):
            progress(sizes.popleft())
            yield encoded


class _Worker:
    """What encodes on one actor: unpickled, its experts have loaded their models and checked that they are the same."""

    def __init__(self, make: partial[Ensemble], batch_size: int) -> None:
        self._ensemble = make()
        self._batch_size = batch_size

    def __call__(self, texts: Texts) -> EncodedTexts | None:
        return encode(self._ensemble, texts, self._batch_size)
