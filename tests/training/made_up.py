"""Small made-up questions whose best passage shares most words."""

import json
import random

from uec_retriever.training import GradedPassage, GradedQuestion

WORDS = "wing boundary layer flow heat supersonic aircraft pressure cat dog bird red green blue small large".split()


def make_questions(number=24, candidates=3, seed=0):
    r = random.Random(seed)
    made = []
    for i in range(number):
        words = r.sample(WORDS, 3)
        found = [
            GradedPassage(
                f"p{i}-{j}", f"text {' '.join(words[: j + 1])} {' '.join(r.sample(WORDS, 2))}", 1 - 0.4 * j
            )
            for j in range(candidates)
        ]
        made.append(GradedQuestion(f"q{i}", f"what is {' '.join(words)} {i}", tuple(found), f"g{i // 2}"))
    return made


def label_line(question_id="q1", passage_id="p1", utility=0.5, **changes):
    line = {
        "question_id": question_id,
        "passage_id": passage_id,
        "question": f"what is {question_id}",
        "passage": f"text of {passage_id}",
        "answer": "one",
        "log_likelihood_with": -1.0,
        "log_likelihood_without": -1.0 - utility,
        "utility": utility,
        "answer_tokens": 1,
        "prompt_tokens": 9,
        "truncated": False,
        "source": "gold",
        "relevance": None,
        "group": None,
        "run": "r",
    }
    return line | changes


def write_labels(path, questions):
    """A label file of questions."""
    with path.open("w", encoding="utf-8") as file:
        for q in questions:
            for c in q.candidates:
                texts = {"question": q.text, "passage": c.text, "relevance": c.relevance, "group": q.group}
                file.write(json.dumps(label_line(q.id, c.id, c.utility, **texts)) + "\n")
    return path
