"""Encoders, judges and collections that tests can compute by hand."""

import json

import numpy as np

WORDS = "red green blue one two three four cat dog bird".split()


class Bags:
    """Embeds a text as its word counts; words weigh as told."""

    def __init__(self, **weights):
        self._weights = np.array([weights.get(w, 1.0) for w in WORDS])

    def encode_query(self, inputs, **_):
        return np.array([[t.split().count(w) for w in WORDS] for t in inputs]) * self._weights

    encode_document = encode_query


class Tokens:
    """A tokenizer of whitespace: token = number of a word, 0 begins a text."""

    chat_template = None
    is_fast = False

    def __init__(self):
        self.words = ["<s>"]

    def __call__(self, text, add_special_tokens=True, **_):
        ids = []
        for word in text.split():
            if word not in self.words:
                self.words.append(word)
            ids.append(self.words.index(word))
        return {"input_ids": [0, *ids] if add_special_tokens else ids}


class EchoJudge:
    """Likes what it has read: a token known from the prompt costs 1 nat, another 2. Answers with its last words."""

    fingerprint = "echo"
    description = {"name": "echo"}

    def __init__(self, context=1000):
        self.tokenizer = Tokens()
        self.context = context
        self.seen = []
        self.generated = 0

    def log_likelihoods(self, sequences):
        self.seen += sequences
        return [-sum(1.0 if t in s.prompt else 2.0 for t in s.answer) for s in sequences]

    def generate(self, prompts, max_new_tokens):
        self.generated += len(prompts)
        found = []
        for prompt in prompts:
            words = [self.tokenizer.words[t] for t in prompt]
            found.append(" " + words[words.index("Passage:") + 1] + "\nmore")
        return found


def write_collection(folder):
    """Six passages in two groups, three questions; grouped, with answers."""
    (folder / "qrels").mkdir(parents=True)
    passages = ["red cat", "red dog one", "blue bird", "green cat two", "green dog", "blue cat three"]
    corpus = [
        {"_id": f"p{i}", "title": "", "text": t, "metadata": {"group": "ab"[i // 3]}}
        for i, t in enumerate(passages)
    ]
    queries = [
        {
            "_id": "q0",
            "text": "red",
            "metadata": {"answer": "red", "answers": ["red", "crimson"], "group": "a"},
        },
        {"_id": "q1", "text": "green cat", "metadata": {"answer": "two", "group": "b"}},
        {"_id": "q2", "text": "blue", "metadata": {"group": "a"}},
    ]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    qrels = ["q0\tp0\t1", "q0\tp1\t1", "q1\tp3\t2", "q1\tp4\t1", "q2\tp2\t1"]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(qrels) + "\n")
    return folder
