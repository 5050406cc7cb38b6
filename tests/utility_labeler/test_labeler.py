"""Labels of all options against plain loops over full logits."""

import numpy as np
import pytest

from tests.utility_labeler.labelling_fakes import WORDS
from uec_retriever.errors import InvalidInputError
from uec_retriever.utility_labeler.encoding import beginning_tokens
from uec_retriever.utility_labeler.judge import TokenSequence
from uec_retriever.utility_labeler.labeler import Labeler
from uec_retriever.utility_labeler.prompts import Prompt, default_prompts
from uec_retriever.utility_labeler.questions import Candidate, Pair, Question
from uec_retriever.utility_labeler.utility import LabelOptions


def some_pairs():
    questions = [
        Question("q0", "what is the wing", ("a blue bird", "the red bird of the cat", "heat")),
        Question("q1", "how does heat flow", ("in the layer",), group="g", relevance={"p1": 2}),
    ]
    passages = {f"p{i}": " ".join(WORDS[i : i + 3 + i]) + " is the bird" for i in range(4)}
    return [Pair(q, Candidate(i, text, "bm25", None)) for i, text in passages.items() for q in questions]


def by_plain_loop(judge, plain_loop, pair, prompts, options):
    """Utility and mean log-likelihoods, from texts put together by hand."""
    answers = pair.question.answers[:1] if options.answers == "first" else pair.question.answers

    def likelihoods(passage):
        table = []
        for prompt in prompts:
            filled = (prompt.without_passage if passage is None else prompt.with_passage).replace(
                "{question}", pair.question.text
            )
            filled = filled.replace("{passage}", passage or "")
            if prompt.chat:
                filled = f"[CLS] user {filled} [SEP] [CLS] answer "
                start = ()
            else:
                start = (2,)  # [CLS]
            ids = judge.tokenizer(filled, add_special_tokens=False)["input_ids"]
            row = []
            for answer in answers:
                tokens = judge.tokenizer(prompt.answer_prefix + answer, add_special_tokens=False)["input_ids"]
                row.append((plain_loop(judge, TokenSequence((*start, *ids), tuple(tokens))), len(tokens)))
            table.append(row)
        return np.array([[v for v, _ in row] for row in table]), np.array([n for _, n in table[0]])

    with_passage, tokens = likelihoods(pair.candidate.text)
    without, _ = likelihoods(None if options.baseline == "none" else options.neutral_passage)
    per_token = (with_passage / tokens).mean(0)
    gain = ((with_passage - without) / (1 if options.normalise == "sum" else tokens)).mean(0)
    if options.answers == "mean":
        return gain.mean(), per_token.mean(), (without / tokens).mean()
    best = per_token.argmax()
    return gain[best], per_token[best], (without / tokens).mean(0)[best]


@pytest.mark.parametrize(
    "options",
    [
        LabelOptions(),
        LabelOptions(answers="mean"),
        LabelOptions(answers="first", normalise="sum"),
        LabelOptions(baseline="neutral", neutral_passage="the text"),
        LabelOptions(baseline="neutral", answers="mean", normalise="sum", neutral_passage="red"),
    ],
)
@pytest.mark.parametrize("paraphrases", [1, 3])
def test_labels_equal_the_plain_loop(judge, plain_loop, options, paraphrases):
    prompts = default_prompts(chat=False, paraphrases=paraphrases)
    pairs = some_pairs()
    labels = Labeler(judge, prompts, options).label(pairs)
    for pair, label in zip(pairs, labels, strict=True):
        expected = by_plain_loop(judge, plain_loop, pair, prompts, options)
        found = (label.utility, label.log_likelihood_with, label.log_likelihood_without)
        assert found == pytest.approx(expected, abs=2e-5)


def test_chat_template_with_system_turn(chat_judge, plain_loop):
    prompts = default_prompts(chat=True)
    labels = Labeler(chat_judge, None).label(some_pairs())  # the template is found
    for pair, label in zip(some_pairs(), labels, strict=True):
        expected = by_plain_loop(chat_judge, plain_loop, pair, prompts, LabelOptions())
        assert label.utility == pytest.approx(expected[0], abs=2e-5)
    system = Prompt("{passage} {question}", "{question}", chat=True, system="two", answer_prefix="")
    encoder = Labeler(chat_judge, [system])._encoders[0]
    text = chat_judge.tokenizer.decode(encoder.encode("cat", "dog", 1).ids)
    assert text == "[CLS] [UNK] two [SEP] [CLS] [UNK] dog cat [SEP] [CLS] [UNK]"


def test_labels_of_a_pair_do_not_depend_on_the_others(judge):
    pairs = some_pairs()
    together = Labeler(judge).label(pairs)
    for pair, label in zip(pairs, together, strict=True):
        assert Labeler(judge).label([pair])[0].utility == pytest.approx(label.utility, abs=2e-5)


def test_without_a_passage_each_question_is_asked_once(judge, monkeypatch):
    labeler, asked = Labeler(judge), []
    real = judge.log_likelihoods
    monkeypatch.setattr(judge, "log_likelihoods", lambda s: (asked.append(len(s)), real(s))[1])
    pairs = some_pairs()  # 3 answers + 1
    first = labeler.label(pairs[:4])
    second = labeler.label(pairs[4:])
    assert asked == [8 + 4, 8]
    without = {
        label.question_id: label.log_likelihood_without for label in first if label.question_id == "q1"
    }
    assert {x.log_likelihood_without for x in second if x.question_id == "q1"} == {without["q1"]}


def test_what_a_label_says(judge):
    pair = Pair(
        Question("q", "what is the wing", ("a blue bird",), "g", {"p": 1}),
        Candidate("p", "the wing", "gold", 1),
    )
    labeler = Labeler(judge)
    label = labeler.label([pair])[0]
    assert (label.question_id, label.passage_id, label.question, label.passage) == (
        "q",
        "p",
        "what is the wing",
        "the wing",
    )
    assert (label.source, label.relevance, label.group, label.run) == ("gold", 1, "g", labeler.run)
    assert (label.answer, label.answer_tokens, label.truncated) == ("a blue bird", 3, False)
    assert label.prompt_tokens == len(
        judge.tokenizer(
            "[CLS] Passage : the wing Question : what is the wing Answer :", add_special_tokens=False
        )["input_ids"]
    )


def test_beginning_of_text_tokens_are_kept_and_endings_not(judge):
    assert beginning_tokens(judge.tokenizer) == (2,)


def test_long_passages_are_cut_and_said_to_be_question_and_answer_stay_whole(judge, plain_loop):
    words = [WORDS[i % 14] for i in range(300)]
    question = Question("q", "what is the wing", ("a blue bird", "a " * 20))
    pairs = [
        Pair(question, Candidate("long", " ".join(words))),
        Pair(question, Candidate("short", "the wing")),
    ]
    labeler = Labeler(judge, None, LabelOptions(max_tokens=60))
    long, short = labeler.label(pairs)
    assert (long.truncated, short.truncated) == (True, False)
    encoder = labeler._encoders[0]
    encoded = encoder.encode(question.text, pairs[0].candidate.text, 20)
    assert len(encoded.ids) == 40 == long.prompt_tokens  # all the room is used
    text = judge.tokenizer.decode(encoded.ids)
    assert text.startswith("[CLS] [UNK] [UNK] " + " ".join(words[:5])) and text.endswith(
        "what is the wing [UNK] [UNK]"
    )
    assert long.passage == pairs[0].candidate.text  # labels hold the whole text
    best = max(
        plain_loop(judge, TokenSequence(encoded.ids, encoder.answer(a))) / len(encoder.answer(a))
        for a in question.answers
    )
    assert long.log_likelihood_with == pytest.approx(best, abs=2e-5)


def test_questions_that_do_not_fit_are_refused_by_their_place(judge):
    question = Question("q", "what is the wing " * 20, ("a bird",), place="queries.jsonl, line 7")
    with pytest.raises(InvalidInputError, match="line 7: .*context holds 60"):
        Labeler(judge, None, LabelOptions(max_tokens=60)).check(question)


def test_refusals(judge, chat_judge):
    with pytest.raises(InvalidInputError, match="at least one prompt"):
        Labeler(judge, [])
    with pytest.raises(InvalidInputError, match="reads 160"):
        Labeler(judge, None, LabelOptions(max_tokens=10_000))
    with pytest.raises(InvalidInputError, match="no chat template"):
        Labeler(judge, default_prompts(chat=True))


def test_the_fingerprint_tells_runs_apart(judge, chat_judge):
    runs = [
        Labeler(judge).run,
        Labeler(chat_judge).run,
        Labeler(chat_judge, default_prompts(chat=False)).run,
        Labeler(judge, default_prompts(chat=False, paraphrases=2)).run,
        Labeler(judge, None, LabelOptions(normalise="sum")).run,
        Labeler(judge, None, LabelOptions(max_tokens=100)).run,
        Labeler(judge, None, LabelOptions(baseline="neutral")).run,
        Labeler(judge, None, LabelOptions(baseline="neutral", neutral_passage="no")).run,
    ]
    assert len(set(runs)) == len(runs)
    assert Labeler(judge, None, LabelOptions(neutral_passage="unused")).run == runs[0]
