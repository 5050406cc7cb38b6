"""Small records, and what they are stored with."""

import numpy as np

from uec_retriever.data.records import Record
from uec_retriever.store.manifest import ExpertEntry, Manifest

MANIFEST = Manifest(
    experts=(ExpertEntry("a", "/a", "f", 4, "kron", "e" * 64, -1.0, -2.0, 1.0),),
    layout="block",
    temperature=0.5,
    reference="none",
)


def vectors(n, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(n, 4))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def records(n, start=0, **metadata):
    return [Record(f"id{i:03}", f"text {i}", {"n": i, **metadata}) for i in range(start, start + n)]


def codes(items):
    return [f"v{r.id}" for r in items]


def put(store, items, seed=0):
    store.put(items, vectors(len(items), seed), codes(items))
