"""Small experts, texts and indexes for the tests of langchain-uec."""

import random
from pathlib import Path

import numpy as np
from langchain_core.documents import Document
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

from uec_retriever import CalibrationPairs

WORDS = (
    "the of to in for on with text word wing layer flow heat pressure what how why which probe hello world "
    "cat dog bird red green blue small large query document foo bar baz new one two three four five six"
).split()


def static_model(folder: Path, seed: int, dimension: int = 24) -> str:
    """A random StaticEmbedding over the small vocabulary."""
    words = ["[UNK]", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.random.default_rng(seed).normal(size=(len(words), dimension)).astype(np.float32)
    module = StaticEmbedding(tokenizer, embedding_weights=weights)
    SentenceTransformer(modules=[module], device="cpu").save(str(folder))
    return str(folder)


def sentences(count: int, seed: int = 0) -> list[str]:
    """Distinct random texts of the small vocabulary."""
    generator = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found[" ".join(generator.choices(WORDS, k=generator.randint(4, 12)))] = None
    return list(found)


def pairs(count: int = 48) -> CalibrationPairs:
    """Calibration pairs that share words."""
    positives = sentences(count, seed=100)
    return CalibrationPairs([" ".join(p.split()[:4]) for p in positives], positives)


def telling(count: int) -> list[str]:
    """Texts whose first sentence says in other order what the second one says with more words."""
    generator, words = random.Random(7), WORDS[12:-8]
    found: dict[str, None] = {}
    while len(found) < count:
        first = generator.sample(words, 6)
        second = generator.sample([*first[:4], *generator.sample(words, 4)], 8)
        found[f"{' '.join(first)}. {' '.join(second)}"] = None
    return list(found)


def documents(count: int = 60) -> list[Document]:
    """Documents with ids d0, d1, ... and metadata to filter by."""
    return [
        Document(id=f"d{i}", page_content=text, metadata={"n": i, "even": i % 2 == 0})
        for i, text in enumerate(sentences(count))
    ]


def shown(found: list[Document]) -> list[tuple[str | None, str]]:
    """What a retriever returned, to compare."""
    return [(document.id, document.page_content) for document in found]
