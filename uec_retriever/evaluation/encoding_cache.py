"""Encode every text once: an expert whose forward passes are kept on disk, whatever posterior comes later."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from uec_retriever.atomic import write_atomically
from uec_retriever.data.progress import Progress
from uec_retriever.data.texts import check_texts
from uec_retriever.errors import CorruptFileError
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.head import Linearised, Role

SHARD = 512  # texts in one file, and in one step that an interruption may cost


class EncodingCache:
    """A folder of encodings, by expert (all that its fingerprint covers), role and text.

    What one text takes, in bytes: 4 (I + D), features and embedding in float32: 7.7 kB for MiniLM, 15 kB for
    mpnet, some hundred bytes for a bag of tokens.

    Args:
        folder: made if need be; a temporary one, as long as this object lives, if absent.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="uec-encodings-"))
        if folder is None:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def expert(self, expert: Expert) -> CachedExpert:
        """The same expert, but no text goes through it twice."""
        return CachedExpert(expert, self)


class CachedExpert(Expert):
    """An expert whose `linearise` looks into a cache first; all else is built on that.

    Attributes:
        seconds: role -> what the forward passes of the texts asked for took, whenever they were encoded.
    """

    def __init__(self, expert: Expert, cache: EncodingCache) -> None:
        super().__init__(
            expert.head,
            expert.name,
            label=expert.label,
            posterior=expert.posterior,
            options=expert.options,
        )
        self.encodings = cache
        self.seconds: dict[Role, float] = dict.fromkeys(get_args(Role), 0.0)
        self._stores: dict[Role, _Store] = {}

    def linearise(
        self,
        texts: Sequence[str],
        role: Role,
        *,
        batch_size: int = 32,
        progress: Progress | None = None,
        prompts: Sequence[str] = (),
    ) -> Linearised:
        """See `Expert.linearise`."""
        texts = check_texts(texts, role)
        if role not in self._stores:
            self._stores[role] = _Store(self.encodings.folder / _folder(self.fingerprint) / role)
        store = self._stores[role]
        keys = [_key("\0".join((*prompts, text))) for text in texts]
        missing = list({k: t for k, t in zip(keys, texts, strict=True) if k not in store.places}.items())
        if progress:
            progress(len(texts) - len(missing))
        for start in range(0, len(missing) or (not texts), SHARD):  # no texts: let the expert refuse them
            part = missing[start : start + SHARD]
            begun = time.perf_counter()
            encoded = super().linearise(
                [t for _, t in part], role, batch_size=batch_size, progress=progress, prompts=prompts
            )
            store.add([k for k, _ in part], encoded, time.perf_counter() - begun)
        found, seconds = store.take(keys)
        self.seconds[role] += seconds
        return found


def _folder(fingerprint: str) -> str:
    """Where encodings of an expert are; of probes the whole fingerprint counts."""
    plain = fingerprint if ":" not in fingerprint else hashlib.sha256(fingerprint.encode()).hexdigest()
    return plain[:20]


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


@dataclass(frozen=True, eq=False)
class _Shard:
    texts: Linearised
    seconds: float

    @classmethod
    def load(cls, path: Path) -> _Shard:
        tensors = load_file(path)
        if "places" in tensors:
            shape = (len(tensors["truncated"]), int(tensors["width"]))
            features = torch.sparse_coo_tensor(
                tensors["places"], tensors["values"], shape, check_invariants=False, is_coalesced=True
            )
        else:
            features = tensors["features"]
        flags = [bool(f) for f in tensors["truncated"]]
        return cls(
            Linearised(features, tensors["embeddings"], tensors["gain"], flags),
            float(tensors["seconds"]),
        )


class _Store:
    """The shards of one expert and role."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.places: dict[bytes, tuple[Path, int]] = {}
        for path in sorted(folder.glob("*.safetensors")):
            try:
                with safe_open(path, framework="pt") as file:
                    self._note(path, file.get_tensor("keys").numpy())
            except SafetensorError as error:
                raise CorruptFileError(f"{path} is damaged ({error}): delete it") from error
        self._load = lru_cache(maxsize=4)(_Shard.load)

    def add(self, keys: Sequence[bytes], encoded: Linearised, seconds: float) -> None:
        table = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1)
        tensors = {
            "keys": torch.from_numpy(table.copy()),
            "embeddings": encoded.embeddings.contiguous().clone(),  # an identity head's are its features
            "gain": encoded.gain.contiguous(),
            "truncated": torch.tensor(encoded.truncated, dtype=torch.uint8),
            "seconds": torch.tensor(seconds, dtype=torch.float64),
            **_feature_tensors(encoded.features),
        }
        path = self._folder / f"{hashlib.sha256(table.tobytes()).hexdigest()[:20]}.safetensors"
        write_atomically(path, save(tensors))
        self._note(path, table)

    def take(self, keys: Sequence[bytes]) -> tuple[Linearised, float]:
        """Encodings in the order of the keys, and their share of the seconds."""
        rows: dict[Path, list[int]] = {}
        order: dict[Path, list[int]] = {}
        for position, key in enumerate(keys):
            path, row = self.places[key]
            rows.setdefault(path, []).append(row)
            order.setdefault(path, []).append(position)
        parts: list[Linearised] = []
        seconds = 0.0
        for path, chosen in rows.items():
            shard = self._load(path)
            parts.append(shard.texts[chosen])
            seconds += shard.seconds * len(chosen) / len(shard.texts)
        back = np.argsort(np.concatenate([np.array(o) for o in order.values()]))
        return Linearised.concatenate(parts)[back], seconds

    def _note(self, path: Path, table: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
        for row, key in enumerate(table):
            self.places[key.tobytes()] = (path, row)


def _feature_tensors(features: Tensor) -> dict[str, Tensor]:
    if not features.is_sparse:
        return {"features": features.float().contiguous()}
    sparse = features.coalesce()
    return {
        "places": sparse.indices().contiguous(),
        "values": sparse.values().float().contiguous(),
        "width": torch.tensor(features.shape[1]),
    }
