"""A judge without a model, and small data, for tests about everything but likelihoods."""

import hashlib
import time

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


def label_slowly(out, pause):
    """For processes that get killed: fourteen chunks of four pairs."""
    label_utilities(FakeJudge(pause=pause), pairs(4, passages=14), out, chunk=3)


class SlowSpec(JudgeSpec):
    """A judge that takes a while, so that there is time to kill it."""

    def load(self):
        judge = super().load()
        quick = judge.log_likelihoods
        judge.log_likelihoods = lambda sequences: (time.sleep(0.4), quick(sequences))[1]
        return judge
