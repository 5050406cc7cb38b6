"""The files of Chroma's vector graph: whether they are whole, told before Chroma loads them, which may crash on torn ones."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import pickle
import shutil
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from uec_retriever.atomic import write_atomically
from uec_retriever.errors import StorageError
from uec_retriever.store.log import DATABASE_FILE, copy_rows

_HEADER = struct.Struct("<i6QiI3QdQ")  # hnswlib's, with Chroma's version number before it
_FILES = ("header.bin", "data_level0.bin", "length.bin", "link_lists.bin", "index_metadata.pickle")
_ROWS = 65_536  # elements looked at together


@functools.lru_cache(maxsize=64)  # asked for before every read
def seal_file(database: Path, graph: str) -> Path:
    """Beside the graph's folder: what its files were when they were last known to be whole."""
    return database / f"uec-graph-{graph}.json"


def seal(database: Path, graph: str, last: int) -> None:
    """Record that the files are whole, and that the collection has changed; call it when nobody saves.

    They are on the disk before the seal is, which a power cut then finds whole, too.

    Args:
        database: folder of the database.
        graph: id of the graph.
        last: number of the last change in Chroma's log.
    """
    before, files = _read(database, graph).get("files", {}), _state(database / graph)
    for name in files:
        if files[name] != before.get(name):
            _flush(database / graph / name)
    write_atomically(seal_file(database, graph), json.dumps({"files": files, "last": last}).encode())


def is_sealed(database: Path, graph: str, last: int | None = None) -> bool:
    """Whether the files are those that were last known to be whole, and since then nothing has changed.

    Args:
        database: folder of the database.
        graph: id of the graph.
        last: number of the last change in Chroma's log; whatever it was then if None.
    """
    told = _read(database, graph)
    return bool(told.get("files") == _state(database / graph) and last in (None, told.get("last")))


def _read(database: Path, graph: str) -> dict[str, Any]:
    """A seal; empty if there is none, or something else."""
    try:
        told = json.loads(seal_file(database, graph).read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) and isinstance(told.get("files"), dict) else {}


def _flush(file: Path) -> None:
    """Have what is written to a file on the disk; what a copy links to is somebody else's, and may be read-only."""
    if file.is_symlink():
        return
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def remove(database: Path, graph: str) -> None:
    """Remove the files; Chroma makes them anew from its log.

    Raises:
        StorageError: if the folder cannot be written.
    """
    folder = database / graph
    try:
        if folder.is_dir():
            shutil.rmtree(folder)
    except OSError as error:
        raise StorageError(f"cannot write to {database}: {error.strerror}") from error


def copy_database(database: Path, target: Path, *, links: bool) -> None:
    """A copy of a database that cannot be written, to search in: Chroma writes even then.

    Others may write to it meanwhile: a seal that is copied before the rows tells of a graph that is older than they are,
    and a file that is copied with its time is as sealed or torn.

    Args:
        database: folder of the database.
        target: an empty folder.
        links: link the files of the graphs, which saves their space where nothing can be written through that.

    Raises:
        IndexBusyError: if others go on writing.
        StorageError: if it cannot be read, or there is no space for the copy.
    """
    try:
        for entry in database.iterdir():
            if entry.is_dir():
                shutil.copytree(
                    entry, target / entry.name, copy_function=os.symlink if links else shutil.copy2
                )
            elif not entry.name.endswith(".lock") and not entry.name.startswith((DATABASE_FILE, ".")):
                with contextlib.suppress(FileNotFoundError):  # its owner has replaced it
                    shutil.copyfile(entry, target / entry.name)
        copy_rows(database, target)
    except (OSError, shutil.Error) as error:  # the latter of several files
        reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror or error
        raise StorageError(
            f"cannot copy {database} to {target} to search in it ({reason}): free some disk space, or set TMPDIR to a folder "
            "on another disk"
        ) from error
    finally:  # the modes of a read-only folder came along
        for copied in target.rglob("*"):
            if not copied.is_symlink():
                copied.chmod(copied.stat().st_mode | (0o700 if copied.is_dir() else 0o600))


def _state(folder: Path) -> dict[str, list[int]]:
    """File -> size in bytes and time of its last change in ns; nothing for a folder that is not there."""
    if not folder.is_dir():
        return {}
    found = {f.name: f.stat() for f in sorted(folder.iterdir())}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in found.items()}


def find_damage(folder: Path, wanted: Collection[str]) -> str | None:
    """What is wrong with the files of a graph; None if Chroma can load them and finds all that is wanted.

    Args:
        folder: of the graph.
        wanted: ids that must be in it.
    """
    if not wanted and not folder.is_dir():
        return None
    if lost := [name for name in _FILES if not (folder / name).is_file()]:
        return f"the file {folder / lost[0]} is lost"
    try:
        labels = _Plain(io.BytesIO((folder / "index_metadata.pickle").read_bytes())).load()["id_to_label"]
        absent = len(set(wanted) - set(labels))
    except Exception as error:  # a torn pickle may raise anything
        return f"the file {folder / 'index_metadata.pickle'} is damaged ({error})"
    if absent:
        return f"{absent} texts are not in the graph {folder}"
    return None if _links_are_whole(folder) else f"the graph {folder} is damaged"


def elements(folder: Path) -> int:
    """How many a graph has, deleted ones too, as it was last saved; 0 if it never was."""
    try:
        return int(_HEADER.unpack((folder / "header.bin").read_bytes())[3])
    except (OSError, struct.error):
        return 0


class _Plain(pickle.Unpickler):
    """Reads dictionaries, numbers and strings; runs nothing."""

    def find_class(self, module: str, name: str) -> object:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _links_are_whole(folder: Path) -> bool:
    """Whether sizes agree and every link leads to an element."""
    try:
        header = _HEADER.unpack((folder / "header.bin").read_bytes())
    except struct.error:
        return False
    _, _, _, count, size, _, _, _, _, per_level, per_base, *_ = header
    data = folder / "data_level0.bin"
    sizes = data.stat().st_size, (folder / "length.bin").stat().st_size
    if sizes != (count * size, count * 4) or size < 4 * per_base + 4:
        return False
    for start in range(0, count, _ROWS):
        shape = (min(_ROWS, count - start), size)
        rows = np.memmap(data, dtype=np.uint8, mode="r", offset=start * size, shape=shape)
        if not _lead_inside(np.ascontiguousarray(rows[:, : 4 * per_base + 4]).view("<u4"), count):
            return False
    upper = np.fromfile(folder / "link_lists.bin", dtype="<u4")
    lists, position = [], 0
    for _ in range(count):
        if position >= len(upper):
            return False
        words = int(upper[position]) // 4
        if words % (per_level + 1) or position + words >= len(upper):
            return False
        lists.append(upper[position + 1 : position + 1 + words])
        position += 1 + words
    return position == len(upper) and _lead_inside(
        np.concatenate([*lists, upper[:0]]).reshape(-1, per_level + 1), count
    )


def _lead_inside(lists: np.ndarray, count: int) -> bool:
    """`[n, 1 + m]` lists, each the number of its links (in two bytes) and then as many."""
    lengths = lists[:, 0] & 0xFFFF
    used = np.arange(lists.shape[1] - 1) < lengths[:, None]
    return bool((lengths < lists.shape[1]).all() and (lists[:, 1:][used] < count).all())
