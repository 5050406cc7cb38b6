"""Questions and answers made from a corpus by the judge itself, kept if they pass the round trip.

For each passage the model writes a question and an answer. They are kept if the answer becomes more likely with its
own passage (utility above `min_gain`), if the question was not made before, and if neither is empty.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from uec_retriever.checks.numbers import check_number, check_whole
from uec_retriever.checks.rows import FINITE_ROW, read_row
from uec_retriever.data.corpus import read_jsonl
from uec_retriever.data.progress import Progress
from uec_retriever.data.provenance import digest
from uec_retriever.data.records import content_id
from uec_retriever.data.texts import text_problem
from uec_retriever.errors import InvalidInputError, LabelError
from uec_retriever.utility_labeler.encoding import beginning_tokens, chat_text
from uec_retriever.utility_labeler.files import LineFile
from uec_retriever.utility_labeler.judge import Judge
from uec_retriever.utility_labeler.labeler import Labeler
from uec_retriever.utility_labeler.mining import Passages
from uec_retriever.utility_labeler.prompts import fill
from uec_retriever.utility_labeler.questions import Candidate, Pair, Question

_ASK = "Passage: {passage}\n\nWrite one short question that this passage answers.\nQuestion:"
_ANSWER = "Passage: {passage}\n\nQuestion: {question}\nShort answer, in words of the passage:"
_CHUNK = 8
_PASSAGE_TOKENS = 384
_QUESTION_TOKENS, _ANSWER_TOKENS = 40, 32
_MIN_WORDS = 3


@dataclass(frozen=True)
class Generation:
    """How questions are made.

    Attributes:
        questions: passages to ask about, a random choice; each gives one question at most.
        min_gain: nats per token that the answer must gain with its own passage.
        seed: of the choice.
    """

    questions: int = 500
    min_gain: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("questions", 1), ("seed", 0)):
            object.__setattr__(self, name, check_whole(name, getattr(self, name), least))
        gain = check_number("min_gain", self.min_gain, "a number of nats", -math.inf)
        if not isinstance(self.min_gain, int | float):  # of NumPy, which JSON does not know
            object.__setattr__(self, "min_gain", gain)


@dataclass(frozen=True)
class Generated:
    """What became of a passage.

    Attributes:
        passage_id: the passage.
        question: made from it.
        answer: made from it.
        gain: utility of the passage for its own question, nats; None if it was not worth asking.
        kept: whether it passed.
        group: `metadata.group` of the passage.
        run: fingerprint of judge, prompts and options.
    """

    __pydantic_config__ = FINITE_ROW

    passage_id: str
    question: str
    answer: str
    gain: float | None
    kept: bool
    group: str | None
    run: str


def generate_questions(
    labeler: Labeler,
    passages: Passages,
    path: Path,
    options: Generation,
    progress: Progress | None = None,
) -> list[Question]:
    """Questions with answers and their gold passage; kept in a file, so an interrupted call is just repeated.

    Args:
        labeler: the judge, and the utility of the round trip.
        passages: the corpus.
        path: JSONL file with what became of each passage.
        options: how many, and the threshold.
        progress: called with the number of passages done since.

    Raises:
        LabelError: if the file is of another run.
        InvalidInputError: if nothing passed.
    """
    run = digest([labeler.run, _ASK, _ANSWER, asdict(options)])[:16]
    order = np.random.default_rng(options.seed).permutation(len(passages.ids))[: options.questions].tolist()
    file = LineFile(path)
    with file.lock():
        file.repair()
        done = {row.passage_id: row for row in _read(path, run)}
        if progress is not None:
            progress(len(done))
        asked = {row.question for row in done.values() if row.gain is not None}
        left = [i for i in order if passages.ids[i] not in done]
        for start in range(0, len(left), _CHUNK):
            chunk = left[start : start + _CHUNK]
            for row in _generate(labeler, passages, chunk, options.min_gain, asked, run):
                done[row.passage_id] = row
            file.append(json.dumps(asdict(done[passages.ids[i]]), ensure_ascii=False) for i in chunk)
            if progress is not None:
                progress(len(chunk))
    kept = [done[passages.ids[i]] for i in order if done[passages.ids[i]].kept]
    if not kept:
        raise InvalidInputError(
            f"none of {len(order)} generated questions passed the round trip: use a larger model, or lower "
            "min_gain (--min-gain)"
        )
    return [
        Question(
            id=content_id(row.question, {}),
            text=row.question,
            answers=(row.answer,),
            group=row.group,
            relevance={row.passage_id: 1},
            place=str(path),
        )
        for row in kept
    ]


def _generate(
    labeler: Labeler, passages: Passages, chunk: Sequence[int], min_gain: float, asked: set[str], run: str
) -> Iterator[Generated]:
    judge = labeler.judge
    texts = [_shorten(judge, passages.texts[i]) for i in chunk]
    found = _complete(judge, [fill(_ASK, None, text) for text in texts], _QUESTION_TOKENS)
    questions = [_question(text) for text in found]
    filled = [fill(_ANSWER, question, text) for question, text in zip(questions, texts, strict=True)]
    answers = [_first_line(text) for text in _complete(judge, filled, _ANSWER_TOKENS)]
    made = list(zip(chunk, questions, answers, strict=True))
    wanted: dict[int, Pair] = {}
    for i, question, answer in made:
        fine = len(question.split()) >= _MIN_WORDS and not text_problem(question) and not text_problem(answer)
        if fine and question not in asked:
            asked.add(question)
            candidate = Candidate(passages.ids[i], passages.texts[i], "gold", 1)
            wanted[i] = Pair(Question(f"{run}/{passages.ids[i]}", question, (answer,)), candidate)
    labels = labeler.label(list(wanted.values()))
    gains = {i: label.utility for i, label in zip(wanted, labels, strict=True)}
    for i, question, answer in made:
        gain = gains.get(i)
        kept = gain is not None and gain > min_gain
        yield Generated(passages.ids[i], question, answer, gain, kept, passages.group_names[i], run)


def _shorten(judge: Judge, passage: str) -> str:
    """The beginning of a passage; a question can be made from it."""
    room = min(_PASSAGE_TOKENS, judge.context // 2)
    ids = judge.tokenizer(passage, add_special_tokens=False, verbose=False)["input_ids"]
    return passage if len(ids) <= room else passage[: len(passage) * room // len(ids)]


def _complete(judge: Judge, texts: Sequence[str], tokens: int) -> list[str]:
    start: tuple[int, ...] = ()
    if getattr(judge.tokenizer, "chat_template", None):
        texts = [chat_text(judge.tokenizer, text) for text in texts]
    else:
        start = beginning_tokens(judge.tokenizer)
    encoded = (judge.tokenizer(text, add_special_tokens=False, verbose=False) for text in texts)
    return judge.generate([[*start, *one["input_ids"]] for one in encoded], tokens)


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else ""


def _question(text: str) -> str:
    line = _first_line(text).removeprefix("Question:").strip().strip('"')
    head, mark, _ = line.partition("?")
    return head.strip() + mark


def _read(path: Path, run: str) -> Iterator[Generated]:
    if not path.exists():
        return
    for place, row in read_jsonl(path):
        try:
            found = read_row(Generated, row)
        except InvalidInputError as error:
            raise LabelError(f"{place}: {error}") from error
        if found.run != run:
            raise LabelError(
                f"{place}: generated by another model, prompt or option: go on with the same ones, or choose "
                "another --out"
            )
        yield found
