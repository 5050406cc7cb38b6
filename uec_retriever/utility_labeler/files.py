"""Files while they are written: repaired, continued, flushed; and the manifest of a label file."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from uec_retriever.atomic import write_atomically
from uec_retriever.data.json_text import parse_object
from uec_retriever.errors import IndexBusyError, InvalidInputError, LabelError, StorageError
from uec_retriever.utility_labeler.labels import read_labels
from uec_retriever.utility_labeler.questions import Pair


def manifest_path(labels: Path) -> Path:
    """Where the manifest of a label file is."""
    return labels.with_name(labels.name + ".manifest.json")


def read_manifest(labels: Path) -> dict[str, Any] | None:
    """The manifest of a label file, or None if there is none.

    Raises:
        LabelError: if it is no JSON object.
    """
    path = manifest_path(labels)
    try:
        return parse_object(path.read_bytes())
    except FileNotFoundError:
        return None
    except (InvalidInputError, OSError) as error:
        raise LabelError(
            f"cannot read {path} ({error}): remove it; labelling again writes it anew"
        ) from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object, whole or not at all.

    Raises:
        StorageError: if it cannot be written.
    """
    write_atomically(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


class LineFile:
    """A file of JSON lines that grows, and is gone on with after an interruption.

    Args:
        path: made when the first line is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from writing.

        Raises:
            IndexBusyError: if one does.
            StorageError: if the folder cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
            lock.acquire(timeout=0)
        except Timeout as error:
            raise IndexBusyError(
                f"another process is writing to {self.path}: wait for it, or choose another --out"
            ) from error
        except OSError as error:
            raise StorageError(f"cannot write to {self.path.parent}: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    def repair(self) -> int:
        """Cut off a last line that a kill left unfinished.

        Returns:
            Bytes cut off.
        """
        try:
            with self.path.open("r+b") as file:
                data = file.read()
                whole = data.rfind(b"\n") + 1
                if whole < len(data):
                    file.truncate(whole)
                    os.fsync(file.fileno())
                return len(data) - whole
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise StorageError(f"cannot repair {self.path}: {error.strerror}") from error

    def append(self, lines: Iterable[str]) -> None:
        """Write lines in one go, down to the disk.

        Args:
            lines: without line breaks.

        Raises:
            StorageError: if the disk is full or the file cannot be written; what was written of them is cut off.
        """
        data = memoryview("".join(line + "\n" for line in lines).encode())
        try:
            with self.path.open("ab", buffering=0) as file:
                before = file.seek(0, os.SEEK_END)
                try:
                    while data:
                        data = data[file.write(data) :]
                    os.fsync(file.fileno())
                except OSError:
                    with contextlib.suppress(OSError):
                        file.truncate(before)
                    raise
        except OSError as error:
            raise StorageError(
                f"cannot write {self.path}: {error.strerror}. Run again to go on where it stopped"
            ) from error


class LabelFile(LineFile):
    """A label file while it is written."""

    def done(self, run: str, pairs: Sequence[Pair]) -> set[tuple[str, str]]:
        """Keys of the labels in the file, which must be of this run and of these pairs.

        Args:
            run: fingerprint of the run that wants to go on.
            pairs: all it will label.

        Raises:
            LabelError: if the file is of another run, holds other pairs, or cannot be read.
        """
        if not self.path.exists():
            return set()
        planned = {pair.key: pair for pair in pairs}
        keys = set()
        for label in read_labels(self.path):
            if label.run != run:
                raise LabelError(
                    f"{self.path} was made with another model, prompt or option (run {label.run}, now {run}; "
                    f"see {manifest_path(self.path).name}): go on with the same ones, or choose another --out"
                )
            pair = planned.get(label.key)
            if pair is None or (pair.question.text, pair.candidate.text) != (label.question, label.passage):
                raise LabelError(
                    f"{self.path} has a label for question {label.question_id!r} and passage "
                    f"{label.passage_id!r}, which this run does not ask for, or with another text: go on with the "
                    "same data, split, candidates and seed, or choose another --out"
                )
            keys.add(label.key)
        return keys

    def counts(self) -> dict[str, Any]:
        """What the file holds: labels, questions, passages cut, sources."""
        sources: Counter[str] = Counter()
        questions: set[str] = set()
        truncated = 0
        if self.path.exists():
            for label in read_labels(self.path):
                sources[label.source] += 1
                questions.add(label.question_id)
                truncated += label.truncated
        return {
            "labels": sum(sources.values()),
            "questions": len(questions),
            "truncated": truncated,
            "sources": dict(sorted(sources.items())),
        }
