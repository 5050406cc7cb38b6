"""The label file: one JSON object per line and (question, passage). Needs neither torch nor transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from uec_retriever.data.json_text import parse_object
from uec_retriever.data.rows import FINITE_ROW, read_row
from uec_retriever.errors import InvalidInputError, LabelError

Source = Literal["gold", "bm25", "index", "random", "given"]


@dataclass(frozen=True)
class Label:
    """What a passage does to the likelihood of a question's answer.

    With defaults, `utility = log_likelihood_with - log_likelihood_without`, which is
    log PPL(answer | question) - log PPL(answer | question, passage), arXiv 2604.22722. What the run chose
    instead (sum, neutral passage, several answers or prompts) stands in the manifest beside the file.

    Attributes:
        question_id: id of the question.
        passage_id: id of the passage; unique within a question.
        question: its text.
        passage: text as retrievers see it (title and body joined, as `corpus.Document.record.text`).
        answer: the answer that was scored; of several, the one with the highest likelihood given the passage.
        log_likelihood_with: mean log-likelihood of an answer token given question and passage, nats, <= 0.
        log_likelihood_without: the same without the passage, or with the neutral one, nats, <= 0.
        utility: nats, positive where the passage helps.
        answer_tokens: of `answer`, at least 1.
        prompt_tokens: before the answer in the prompt with the passage, after truncation.
        truncated: whether the passage was cut to fit the context.
        source: how the passage became a candidate.
        relevance: of the qrels; 0 for what they do not list; None without qrels for the question.
        group: `metadata.group` of the question, e.g. the paper it is about.
        run: fingerprint of model, prompt and options.
    """

    __pydantic_config__ = FINITE_ROW

    question_id: str
    passage_id: str
    question: str
    passage: str
    answer: str
    log_likelihood_with: float
    log_likelihood_without: float
    utility: float
    answer_tokens: Annotated[int, Field(ge=1)]
    prompt_tokens: int
    truncated: bool
    source: Source
    relevance: int | float | None
    group: str | None
    run: str

    @property
    def key(self) -> tuple[str, str]:
        """What a file holds once: (question_id, passage_id)."""
        return self.question_id, self.passage_id

    def to_json(self) -> str:
        """One line without its line break; keys in the order of the attributes."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str | bytes) -> Label:
        """The label of a line.

        Raises:
            LabelError: saying which key is wrong, and how.
        """
        try:
            return read_row(cls, parse_object(line))
        except InvalidInputError as error:
            raise LabelError(str(error)) from error


def read_labels(path: str | Path) -> Iterator[Label]:
    """The labels of a file, in order; empty lines are passed over.

    Raises:
        LabelError: naming the line that is not a label, or that repeats a (question, passage).
    """
    path = Path(path)
    seen: set[tuple[str, str]] = set()
    try:
        file = path.open("rb")
    except OSError as error:
        raise LabelError(f"cannot read the labels {path}: {error.strerror}") from error
    with file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                label = Label.from_json(line)
            except LabelError as error:
                raise LabelError(
                    f"{path}, line {number}: {error}. A last line cut off by a kill is repaired by running "
                    "'uec label' again with the same options; else remove the line"
                ) from error
            if label.key in seen:
                raise LabelError(
                    f"{path}, line {number}: question {label.question_id!r} and passage {label.passage_id!r} "
                    "are labelled on an earlier line: remove one of the two"
                )
            seen.add(label.key)
            yield label
