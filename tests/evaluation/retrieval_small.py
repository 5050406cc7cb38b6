"""Random Gaussians and made-up collections for the tests of retrieval, and a study of tiny models."""

import json

import numpy as np

from uec_retriever.evaluation.collection import Collection, Query
from uec_retriever.evaluation.collection_encoder import EncodedCollection, EncodedTexts
from uec_retriever.evaluation.exact import mask_passages, rank
from uec_retriever.gaussian import GaussianEmbedding
from uec_retriever.store.manifest import ExpertEntry, Manifest

STRUCTURES = ("diag", "kron")
ANIMALS = "cat dog bird".split()
COLOURS = "red green blue small large".split()
VERBS = "flow heat pressure show hello world wing boundary layer uncertainty".split()


def random_gaussians(generator, number, dimensions):
    """structure -> per expert, Gaussians with common unit means."""
    means = []
    for dimension in dimensions:
        mean = generator.normal(size=(number, dimension))
        means.append(mean / np.linalg.norm(mean, axis=1, keepdims=True))
    return {
        structure: [GaussianEmbedding(m, generator.gamma(2, 0.05, m.shape)) for m in means]
        for structure in STRUCTURES
    }


def random_encoded(seed=0, queries=7, documents=23, dimensions=(4, 6)):
    generator = np.random.default_rng(seed)
    asked, found = (random_gaussians(generator, n, dimensions) for n in (queries, documents))
    sides = [EncodedTexts([g.mean for g in side["kron"]], side) for side in (asked, found)]
    return EncodedCollection(*sides)


def random_collection(seed=0, queries=7, documents=23, **changes):
    """Three relevant passages for each query, grades 1 to 3."""
    generator = np.random.default_rng(seed)
    asked = [
        Query(
            f"q{i}",
            f"query {i}",
            {f"d{d}": g + 1 for g, d in enumerate(generator.permutation(documents)[:3])},
        )
        for i in range(queries)
    ]
    fields = {
        "name": "random",
        "split": "test",
        "ids": [f"d{i}" for i in range(documents)],
        "texts": [f"text {i}" for i in range(documents)],
        "groups": [None] * documents,
        "queries": asked,
    }
    return Collection(**{**fields, **changes})


def rank_all(scorers, collection, scope="corpus", **options):
    sizes = (len(collection.queries), len(collection.ids))
    return rank(scorers, *sizes, barred=mask_passages(collection, scope), **options)


def manifest(structure="kron", layout="block", temperature=0.3, zeros=(0.1, -0.2), priors=(0.6, 0.4), size=4):
    entries = [
        ExpertEntry(f"e{k}", "", "", size, structure, "", zero, zero / 2, prior)
        for k, (zero, prior) in enumerate(zip(zeros, priors, strict=True))
    ]
    return Manifest(tuple(entries), layout, temperature, "")


def write_set(folder, seed=0, documents=48, queries=12):
    """A BEIR folder that tiny models can encode, with train and test qrels; each query repeats words of its passage."""
    generator = np.random.default_rng(seed)
    rows, asked, lines = [], [], {"train": [], "test": []}
    for i in range(documents):
        words = [str(generator.choice(part)) for part in (COLOURS, ANIMALS, VERBS, COLOURS, VERBS, VERBS)]
        rows.append(
            {
                "_id": f"d{i}",
                "title": " ".join(words[:3]),
                "text": f"{' '.join(words)} text {i}. the {words[2]} of {words[1]} and {words[5]}",
                "metadata": {"group": "ab"[i % 2]},
            }
        )
        if i < queries:
            asked.append(
                {
                    "_id": f"q{i}",
                    "text": " ".join(["what", *words[1:4], "does"]),
                    "metadata": {"group": "ab"[i % 2]},
                }
            )
            lines["test" if i % 2 else "train"].append(f"q{i}\td{i}\t1\n")
    (folder / "qrels").mkdir(parents=True)
    for name, content in (("corpus", rows), ("queries", asked)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in content))
    for split, content in lines.items():
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(content))
    return folder
