"""Load sentence-transformers models by hub id or folder, with errors that name the fix; lock their tokenizers."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from sentence_transformers import CrossEncoder, SentenceTransformer

from uec_retriever.checks.device import check_device
from uec_retriever.errors import InvalidInputError, ModelNotFoundError

_LOCKS: weakref.WeakKeyDictionary[Any, threading.Lock] = weakref.WeakKeyDictionary()
_CHOOSING = threading.Lock()
_PROVIDER = re.compile(r"^[a-z0-9]{2,}:")
_CREDENTIALS = re.compile(r"(?<=:)//[^/@]*@")
_SECRETS = {"token", "use_auth_token", "api_key", "headers"}
_LOCAL = {"cache_folder", "cache_dir", "local_files_only", "force_download", "threads"}
_TRUST = {"trust_remote_code"}


def load_model(
    name: str, *, device: str | None = None, trust_remote_code: bool = False, **options: Any
) -> SentenceTransformer:
    """A bi-encoder.

    Args:
        name: hub id or folder.
        device: torch device; the library's choice if absent.
        trust_remote_code: run code that comes with the model. Off unless you say so.
        **options: passed to `SentenceTransformer`.

    Raises:
        InvalidInputError: for an option that `SentenceTransformer` does not have, or of another type, or a device that
            is not there.
        ModelNotFoundError: if it cannot be loaded.
    """
    check_device(device)
    _check_there("embedding model", name)
    try:
        return SentenceTransformer(
            model_source(name), device=device, trust_remote_code=trust_remote_code, **options
        )
    except TypeError as error:
        raise InvalidInputError(
            f"cannot load the embedding model {name!r} with the options {sorted(options)}: {error}"
        ) from error
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _not_found("embedding model", name, error) from error


def load_cross_encoder(
    name: str, *, device: str | None = None, trust_remote_code: bool = False
) -> CrossEncoder:
    """A cross-encoder.

    Args:
        name: hub id or folder.
        device: torch device; the library's choice if absent.
        trust_remote_code: run code that comes with the model. Off unless you say so.

    Raises:
        InvalidInputError: for a device that is not there.
        ModelNotFoundError: if it cannot be loaded.
    """
    check_device(device)
    _check_there("cross-encoder", name)
    try:
        encoder: CrossEncoder = CrossEncoder(
            model_source(name), device=device, trust_remote_code=trust_remote_code
        )
        return encoder
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _not_found("cross-encoder", name, error) from error


def model_source(name: str) -> str:
    """A hub id as it is, a folder as an absolute path."""
    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.exists() else name


def lasting_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that an index may keep: no secrets, no trust, nothing that only holds on this machine."""
    kept = _without(_SECRETS | _LOCAL | _TRUST, options)
    return {k: _CREDENTIALS.sub("//", v) if isinstance(v, str) else v for k, v in kept.items()}


def options_without_secrets(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that another process may have; it finds a token, if it needs one, in its HF_TOKEN."""
    return _without(_SECRETS, options)


def short_name(name: str) -> str:
    """The last part of a hub id or path, or of the model of a provider or of an object, for people."""
    plain = _PROVIDER.sub("", name)
    if name.startswith("object:") and "/" not in name:
        plain = plain.rsplit(".", 1)[-1]
    return Path(plain.replace("\\", "/")).name or name


def tokenizer_lock(model: SentenceTransformer) -> threading.Lock:
    """The lock to hold while a model's tokenizer is in use: fast tokenizers are not safe under threads.

    One for each tokenizer in the process, whoever asks; for each model where its tokenizer bears no weak reference.
    """
    key = getattr(model, "tokenizer", None)
    try:
        weakref.ref(key)
    except TypeError:
        key = model
    with _CHOOSING:
        return _LOCKS.setdefault(key, threading.Lock())


def _without(names: set[str], options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without(names, value) if isinstance(value, Mapping) else value
        for key, value in options.items()
        if key not in names
    }


def _check_there(kind: str, name: str) -> None:
    """Refuse a folder that is not there, which would be looked for on the hub and refused as no id of it."""
    is_folder = name.startswith(("~", "./", "../")) or Path(name).is_absolute() or name.count("/") > 1
    if is_folder and not Path(name).expanduser().exists():
        raise _not_found(kind, name, FileNotFoundError("there is no such folder"))


def _not_found(kind: str, name: str, error: Exception) -> ModelNotFoundError:
    reason = (str(error).splitlines()[0] if str(error) else repr(error)).rstrip(". ")
    return ModelNotFoundError(
        f"cannot load the {kind} {name!r}: {reason}. It takes a hub id or a folder that sentence-transformers can load"
    )
