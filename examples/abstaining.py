"""What the abstaining examples share: texts, questions of which half have lost their evidence, and a count of right decisions.

The questions are PubMedQA's if `UEC_DATA` has them: the confidence is calibrated on train questions, and the questions asked
are of the test split. Else first sentences of the standard library's documentation are the questions, which tell less of what
answers them. Where texts repeat one another, what is left looks like the answer that is gone, and abstaining is right less often.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devtools.models import WORDLLAMA, real_model
from uec_retriever import Engine
from uec_retriever.data.pairs import pseudo_pairs
from uec_retriever.data.stdlib_docs import standard_library_docstrings
from uec_retriever.evaluation.bootstrap import wilson
from uec_retriever.evaluation.collection import load_collection

K = 3
MIN_CONFIDENCE = 0.5
NOT_IN_HERE = "This is not in these documents."
_SET = "pubmedqa"
_LEARNT = 200  # questions to calibrate on
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_LONG = 300  # characters of a text that says something about its first sentence
_QUESTION = re.compile(r"[A-Z][\w'-]*(,? [\w'-]+){4,}\.?")  # five words or more, and no signature
_WORD = re.compile(r"\w{3,}")
Labelled = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class Material:
    """Texts and questions.

    Attributes:
        origin: where they come from.
        texts: id -> text.
        learnt: question -> ids of its right texts, to calibrate on.
        present: the same of questions to ask, whose right texts are there.
        missing: questions to ask whose right texts were taken out.
    """

    origin: str
    texts: Mapping[str, str]
    learnt: Labelled
    present: Labelled
    missing: Sequence[str]


def load_material(questions: int) -> Material:
    """Of a test collection, if there is one, else of the standard library.

    Args:
        questions: how many to ask; every other one loses its evidence.
    """
    folder = Path(os.environ.get("UEC_DATA", "/nowhere")) / _SET
    if not folder.is_dir():
        return _documentation(questions)
    learnt = load_collection(folder, "train").sample(_LEARNT, seed=0)
    asked = load_collection(folder, "test").sample(questions, seed=0)
    right = {
        q.text: {p for p, grade in q.relevance.items() if grade > 0}
        for q in (*learnt.queries, *asked.queries)
    }
    texts = dict(zip(learnt.ids, learnt.texts, strict=True))
    return _take_out(_SET, texts, right, [q.text for q in learnt.queries], [q.text for q in asked.queries])


def documented_questions() -> list[tuple[str, str]]:
    """First sentences, and the rest of the documentation string that each is from, where that is long; in random order."""
    pairs = pseudo_pairs((text for _, text in standard_library_docstrings("[a-z]*.py")), limit=5000)
    every = zip(pairs.queries, pairs.positives, strict=True)
    chosen = [(query, text) for query, text in every if len(text) >= _LONG and _QUESTION.fullmatch(query)]
    random.Random(0).shuffle(chosen)
    return chosen


def _documentation(questions: int) -> Material:
    """First sentences as questions, the rest of each documentation string as the text that answers it."""
    chosen = documented_questions()[: _LEARNT + questions]
    texts = {f"text-{i}": text for i, (_, text) in enumerate(chosen)}
    right = {query: {identifier} for identifier, (query, _) in zip(texts, chosen, strict=True)}
    asked = list(right)
    return _take_out("the standard library", texts, right, asked[questions:], asked[:questions])


def _take_out(
    origin: str,
    texts: Mapping[str, str],
    right: Mapping[str, set[str]],
    learnt: Sequence[str],
    asked: Sequence[str],
) -> Material:
    """Only evidence is indexed, and none of every other question's."""
    missing, present = asked[::2], asked[1::2]
    gone = {i for question in missing for i in right[question]}
    kept = sorted({i for question in (*learnt, *present) for i in right[question]} - gone)
    return Material(
        origin,
        {i: texts[i] for i in kept if i in texts},
        {q: found for q in learnt if (found := right[q] - gone)},
        {q: found for q in present if (found := right[q] - gone)},
        missing,
    )


def make_engine(material: Material, folder: Path) -> Engine:
    """An index of the texts, by WordLlama and words, that says how confident it is; made once."""
    engine = Engine.from_texts(
        list(material.texts.values()),
        [real_model(WORDLLAMA)],
        folder / "index",
        ids=list(material.texts),
        device="cpu",
    )
    if engine.manifest.confidence is None:
        engine.calibrate_confidence(labelled=material.learnt, k=K)
    return engine


def quote(context: str, question: str) -> str:
    """In place of a language model: the sentence that shares the most words with the question, the first of equals."""
    asked = set(_WORD.findall(question.lower()))
    sentences = [s for s in _SENTENCE.split(" ".join(context.split())) if s]
    return max(sentences, key=lambda s: len(asked & set(_WORD.findall(s.lower()))), default="")


def tell_decisions(
    material: Material, chains: Mapping[str, Callable[[str], tuple[str, Collection[str]]]]
) -> dict[str, float]:
    """Ask all questions, and print how often each chain was right to answer or to abstain.

    It is right to answer with a right text among those that it has read, and right to abstain where these are gone.

    Args:
        material: questions.
        chains: name -> question -> the answer, and ids of the texts that it was made from.

    Returns:
        name -> share of right decisions.
    """
    shares = {}
    for name, ask in chains.items():
        answered = [set(ids) & set(right) != set() and answer != NOT_IN_HERE
                    for question, right in material.present.items() for answer, ids in [ask(question)]]  # fmt: skip
        abstained = [ask(question)[0] == NOT_IN_HERE for question in material.missing]
        number = len(answered) + len(abstained)
        share = wilson(sum(answered) + sum(abstained), number)
        print(
            f"{name}: right {share.mean:.0%} of {number} times (95 % interval {share.low:.0%} to {share.high:.0%}); abstained "
            f"for {sum(abstained)} of the {len(abstained)} questions whose evidence is gone, answered {sum(answered)} of the "
            f"other {len(answered)} from a right text"
        )
        shares[name] = share.mean
    return shares
