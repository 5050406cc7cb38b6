"""A judge without a model, and small data, for tests about everything but likelihoods."""

import hashlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from uec_retriever.utility_labeler.judge_spec import JudgeSpec
from uec_retriever.utility_labeler.questions import Candidate, Pair, Question
from uec_retriever.utility_labeler.run import label_utilities

WORDS = "flow heat wing layer pressure model small large red green blue cat dog bird".split()


class WordTokenizer:
    """A token for each word; light to import, and without offsets as slow tokenizers are."""

    chat_template = None
    is_fast = False

    def __call__(self, text, **options):
        return {
            "input_ids": [
                int.from_bytes(hashlib.sha256(w.encode()).digest()[:4], "big") for w in text.split()
            ]
        }

    def get_vocab(self):
        return {}


class FakeJudge:
    """Likelihoods out of a hash of the tokens."""

    context = 160
    description = {"name": "fake"}

    def __init__(self, name="fake", pause=0.0):
        self.tokenizer = WordTokenizer()
        self.fingerprint = name
        self.pause = pause
        self.asked = 0

    def log_likelihoods(self, sequences):
        self.asked += len(sequences)
        values = []
        for sequence in sequences:
            time.sleep(self.pause)
            digest = hashlib.sha256(repr(sequence).encode()).digest()
            values.append(-len(sequence.answer) * (1 + digest[0] / 256))
        return values

    def generate(self, prompts, max_new_tokens):
        return ["what is the wing"] * len(prompts)


def questions(number, answers=1):
    return [
        Question(
            f"q{i}",
            f"what is the {WORDS[i % 14]}",
            tuple(f"the {WORDS[(i + k) % 14]}" for k in range(answers)),
        )
        for i in range(number)
    ]


def pairs(number=6, passages=4, answers=1):
    """Every question with every passage."""
    texts = [f"the {WORDS[i]} of {WORDS[(3 * i) % 14]} is {WORDS[(5 * i) % 14]}" for i in range(passages)]
    return [
        Pair(question, Candidate(f"p{i}", text, "gold" if i == 0 else "given", int(i == 0)))
        for question in questions(number, answers)
        for i, text in enumerate(texts)
    ]


def label_without_end(out, moment, reached):
    """For processes that get killed: all of 14 chunks but the last, and a sign after `moment` of those that are left."""

    def execute(labeler, chunks):
        for number, chunk in enumerate(chunks[:-1]):
            if number == moment:
                reached.set()
            yield labeler.label(chunk)
        reached.set()
        threading.Event().wait()

    label_utilities(FakeJudge(pause=0.002), pairs(4, passages=14), out, chunk=3, execute=execute)


@dataclass(frozen=True)
class GatedSpec(JudgeSpec):
    """A judge that answers once, and then only when a file is there: a process with it cannot come to the end before.

    Attributes:
        gate: the file.
    """

    gate: str = ""

    def load(self):
        judge = super().load()
        answer, answered = judge.log_likelihoods, []

        def log_likelihoods(sequences):
            while answered and not Path(self.gate).exists():
                time.sleep(0.05)
            answered.append(len(sequences))
            return answer(sequences)

        judge.log_likelihoods = log_likelihoods
        return judge
