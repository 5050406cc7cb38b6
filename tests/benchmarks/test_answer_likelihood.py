"""Confidence beside a language model's own likelihood: what it is asked, what is made of its numbers, and the whole."""

import json
import sys

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.answer_areas import Signals, areas_table, average, cost_table, describe, measure
from benchmarks.answering_model import AnsweringModel, Question
from devtools.tiny import tokenizer
from devtools.tiny_llm import CHAT_TEMPLATE, tiny_llm
from uec_retriever.utility_labeler.local import LocalJudge


class FakeJudge:
    """Its log-likelihood of an answer is minus the sum of the answer's tokens, less one for every token of the prompt."""

    context = 200

    def __init__(self, *answers, chat=False):
        self.tokenizer = tokenizer()
        self.tokenizer.eos_token = "[SEP]"
        self.tokenizer.chat_template = CHAT_TEMPLATE if chat else None
        self.replies, self.prompts = answers, []

    def log_likelihoods(self, sequences):
        self.asked = sequences
        return [-float(sum(s.answer)) - len(s.prompt) for s in sequences]

    def generate(self, prompts, max_new_tokens):
        self.prompts += [self.tokenizer.decode(prompt) for prompt in prompts]
        return self.replies


QUESTION = Question("what is flow", ("wing wing boundary layer", "cat dog"))


def ids(judge, text):
    return judge.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_the_passages_are_cut_each_by_itself_and_numbered():
    judge = FakeJudge("flow", chat=True)
    model = AnsweringModel(judge, passage_tokens=2, new_tokens=4)
    model.answers([QUESTION])
    [prompt] = judge.prompts
    assert prompt.count("wing") == 2 and "boundary" not in prompt
    assert "cat dog" in prompt and "what is flow" in prompt
    assert prompt.index("wing") < prompt.index("cat") < prompt.index("what is flow")
    assert model.tokens(QUESTION) == len(ids(judge, prompt))


@pytest.mark.parametrize("chat", [True, False])
def test_signals_are_those_of_the_answer(chat):
    judge = FakeJudge("heat flow\nQuestion: wing", "", chat=chat)
    model = AnsweringModel(judge, passage_tokens=9, new_tokens=4)
    longer, empty = model.ask([QUESTION, QUESTION])
    tokens = ids(judge, "heat flow\nQuestion: wing" if chat else "heat flow")
    assert longer.text == ("heat flow\nQuestion: wing" if chat else "heat flow")
    assert longer.total == -sum(tokens) - model.tokens(QUESTION)
    assert longer.mean == longer.total / len(tokens)
    with_passages, alone = (len(sequence.prompt) for sequence in judge.asked[:2])
    assert longer.gain == (alone - with_passages) / len(tokens)
    assert "wing wing" in judge.tokenizer.decode(judge.asked[0].prompt)
    assert "wing wing" not in judge.tokenizer.decode(judge.asked[1].prompt)
    assert empty.text == "" and empty.total == empty.mean == -3 - model.tokens(QUESTION)  # 3 ends a text
    assert longer.verdict == empty.verdict == model.verdicts([QUESTION])[0]


def signals(number=40, seed=0):
    generator = np.random.default_rng(seed)
    hits = generator.random(number) < 0.7
    good = np.array([hits + generator.normal(0, 0.5, number), generator.normal(0, 0.5, number)])
    return Signals({"ours": good, "noise": generator.normal(size=(2, number)), "level": good * 2}, hits)


def test_areas_are_those_of_scikit_learn_and_differences_are_paired():
    given = signals()
    found = describe(measure(given))
    mixed = np.append(given.hits, np.zeros(40, bool))
    there = np.repeat([True, False], 40)
    for name, values in given.values.items():
        assert found[name]["mixed"]["auroc"][0] == pytest.approx(roc_auc_score(mixed, values.ravel()))
        assert found[name]["there"]["auroc"][0] == pytest.approx(roc_auc_score(there, values.ravel()))
    gain, low, high = found["noise"]["mixed"]["gain"]
    assert gain == pytest.approx(found["ours"]["mixed"]["auroc"][0] - found["noise"]["mixed"]["auroc"][0])
    assert 0 < low < gain < high
    assert found["level"]["mixed"]["gain"] == [0, 0, 0]  # the same draws for both


def test_means_are_of_the_signals_that_all_sets_have():
    one, two = measure(signals()), measure(signals(seed=1))
    mean = average([one, two.among(["ours", "noise"])])
    assert mean.names == ("ours", "noise")
    assert mean.values[1] == pytest.approx((one.values[1] + two.values[1]) / 2)
    rows = areas_table({"a": one, "b": two.among(["ours", "noise"])})["rows"]
    assert [row[0] for row in rows] == [
        "a: ours", "a: noise", "a: level", "b: ours", "b: noise", "mean: ours", "mean: noise",
    ]  # fmt: skip
    costs = cost_table({"search": 5.0, "LLM, answer": 500.0})
    assert costs["rows"][0] == ["search", "5.00", "0.01000"]


@pytest.mark.data
@pytest.mark.models
def test_the_benchmark_at_a_small_size(monkeypatch, tmp_path, collections, wordllama):
    from benchmarks import answer_likelihood

    judge = LocalJudge.load(str(tiny_llm(tmp_path / "llm")), device="cpu")
    monkeypatch.setattr(
        answer_likelihood,
        "load_llm",
        lambda options: AnsweringModel(judge, passage_tokens=options.passage_tokens, new_tokens=4),
    )
    size = (
        "--sets covidqa --queries 24 --train 40 --documents 120 --pairs 64 --timed 2 -k 2 --passage-tokens 20"
    )
    monkeypatch.setattr(sys, "argv", ["answer_likelihood", *size.split(), "--out", str(tmp_path)])
    answer_likelihood.main()
    result = json.loads((tmp_path / "answer_likelihood.json").read_text())
    assert {"command", "commit", "versions", "seed"} <= set(result)
    found = result["sets"]["covidqa"]
    assert found["queries"] == 24 and 0 < found["hit_rate"] <= 1
    ours = [
        found["areas"][f"confidence, {source}"]["mixed"]["auroc"] for source in ("no labels", "train labels")
    ]
    assert all(low <= area <= high and area > 0.5 for area, low, high in ours)
    assert {"LLM, mean", "LLM, sum", "LLM, gain", "LLM, verdict"} < set(found["areas"])
    costs = result["milliseconds"]
    assert costs["search"] > costs["confidence"] > 0
    assert [table["name"] for table in result["tables"]] == ["areas", "cost"]
