"""What a Ray actor does with the jobs of a `RayPool`; nothing here imports Ray."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from typing import Any

from uec_retriever.errors import UECError, WorkerError


class Worker:
    """One actor. No error leaves it as such: Ray would wrap it, or start the actor again and again.

    Args:
        make: pickled; makes what does the jobs.
        sees_gpus: whether Ray gave it any; of others' it would see all.
    """

    def __init__(self, make: bytes, sees_gpus: bool) -> None:
        if not sees_gpus:  # Ray hides them from who asked for some alone
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._work: Callable[[Any], Any] | None = None
        try:
            self._work = pickle.loads(make)()
        except Exception as error:
            self._refusal = _packed(False, error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of position and outcome, of one of position and job."""
        return {"position": row["position"], "outcome": self._outcome(row["job"])}

    def _outcome(self, job: bytes) -> bytes:
        if not job:
            return b""
        if self._work is None:
            return self._refusal
        try:
            return _packed(True, self._work(pickle.loads(job)))
        except Exception as error:
            return _packed(False, error)


def _packed(succeeded: bool, value: Any) -> bytes:
    """An outcome to send; of errors that are not ours with where on the worker they came from."""
    if isinstance(value, Exception) and not isinstance(value, UECError):
        told = "".join(traceback.format_exception(value))
        value.add_note(f"On a Ray worker:\n{told}")
        try:
            pickle.loads(pickle.dumps(value))
        except Exception:  # a stranger's exception may come back as another one, or not at all
            value = WorkerError(f"a Ray worker failed: {told}")
    return pickle.dumps((succeeded, value))
