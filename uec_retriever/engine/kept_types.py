"""The types of metadata that an index was told, kept in its folder for whoever indexes more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from uec_retriever.atomic import write_atomically
from uec_retriever.checks.json_text import parse_object
from uec_retriever.data.types import check_types
from uec_retriever.engine.location import Location
from uec_retriever.engine.open import open_store
from uec_retriever.errors import CorruptFileError, InvalidInputError, NotAnIndexError, StorageError

if TYPE_CHECKING:
    from uec_retriever.engine.engine import Engine


def read_kept_types(location: Location) -> dict[str, str]:
    """Key of metadata -> its type, as it was given for an index; empty if there is no index, or none was given.

    Loads no model.

    Raises:
        CorruptFileError: if they cannot be read as such.
        StorageError: if the file is there and cannot be opened, or Chroma cannot be reached.
    """
    if location.path is None or not any((location.path / "types").glob("*.json")):
        return {}
    try:
        folder, store, _ = open_store(location)
    except NotAnIndexError:
        return {}
    try:
        return read_types_file(folder.types_file(str(store.collection.id)))
    finally:
        if location.client is None:
            store.close()


def keep_types(engine: Engine, types: Mapping[str, str]) -> None:
    """Add types to those that an index keeps, instead of older ones of the same keys.

    Args:
        engine: of the index.
        types: key of metadata -> one of `data.types.TYPES`.

    Raises:
        InvalidInputError: for a type that there is none of.
        CorruptFileError: if those that are kept cannot be read.
        StorageError: if the folder cannot be written.
    """
    file = engine._folder.types_file(str(engine.store.collection.id))
    before = read_types_file(file)
    after = {**before, **check_types(types)}
    if after != before:
        write_atomically(file, json.dumps(after, indent=1, sort_keys=True).encode())


def read_types_file(file: Path) -> dict[str, str]:
    """The types in a file of `IndexFolder.types_file`; empty if it is not there.

    Raises:
        CorruptFileError: if they cannot be read as such.
        StorageError: if the file is there and cannot be opened.
    """
    try:
        return check_types(parse_object(file.read_bytes()))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StorageError(f"cannot read {file}: {error.strerror or error}. Check its permissions") from error
    except (InvalidInputError, TypeError) as error:
        raise CorruptFileError(
            f"{file}, which keeps the types of metadata, is damaged ({error}): delete it, and give --types again"
        ) from error
