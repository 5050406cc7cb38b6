"""Likelihoods against a plain loop over full logits, on many architectures."""

import random

import pytest
import torch

from devtools.tiny_llm import tiny_llm
from uec_retriever.errors import NumericalError, UnsupportedModelError
from uec_retriever.utility_labeler.judge import TokenSequence
from uec_retriever.utility_labeler.local import LocalJudge
from uec_retriever.utility_labeler.scoring import Budget

WAYS = {
    "llama": ("gather", True),
    "gpt2": ("gather", True),
    "gemma2": ("keep", True),  # soft cap after the output layer
    "gemma3_text": ("gather", True),  # sliding windows, shorter than the texts
    "granite": ("keep", True),  # scaled logits
    "bloom": ("gather", True),
    "opt": ("gather", True),
    "mamba": ("gather", False),  # no key-value cache to share
}


def tree(seed=0, vocabulary=60):
    """Passages with several questions with several answers, some alone, some equal."""
    draw = random.Random(seed)

    def tokens(low, high):
        return tuple(draw.randrange(5, vocabulary) for _ in range(draw.randrange(low, high)))

    sequences = []
    for _ in range(4):
        passage = tokens(1, 40)
        for _ in range(draw.randrange(1, 4)):
            prompt = (2, 7, 8, *passage, *tokens(1, 8))
            sequences += [TokenSequence(prompt, tokens(1, 9)) for _ in range(draw.randrange(1, 4))]
    sequences += [sequences[0], TokenSequence((5,), (6,)), TokenSequence((5, 6), (7, 8, 9))]
    draw.shuffle(sequences)
    return sequences


@pytest.mark.parametrize("architecture", WAYS)
def test_likelihoods_equal_the_plain_loop(architecture, tmp_path, plain_loop):
    folder = tiny_llm(tmp_path, architecture)
    judge = LocalJudge.load(str(folder), device="cpu", budget=Budget(96, 4))
    assert (judge.description["logits"], judge.description["shared_beginnings"]) == WAYS[architecture]
    sequences = tree()
    expected = [plain_loop(judge, s) for s in sequences]
    assert judge.log_likelihoods(sequences) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("saving", [None, 1, 8, 32, 10**6])
@pytest.mark.parametrize("tokens", [1, 40, 10**6])
def test_no_budget_changes_a_likelihood(llama, plain_loop, saving, tokens):
    judge = LocalJudge.load(str(llama), device="cpu", budget=Budget(tokens, saving))
    sequences = tree(seed=1)
    expected = [plain_loop(judge, s) for s in sequences]
    assert judge.log_likelihoods(sequences) == pytest.approx(expected, abs=2e-5)


def test_likelihoods_do_not_depend_on_batch_mates(judge):
    sequences = tree(seed=2)
    together = judge.log_likelihoods(sequences)
    alone = [judge.log_likelihoods([s])[0] for s in sequences]
    assert together == pytest.approx(alone, abs=2e-5)
    with_strangers = judge.log_likelihoods(sequences + tree(seed=3))[: len(sequences)]
    assert with_strangers == pytest.approx(alone, abs=2e-5)


def test_shared_beginnings_save_tokens(llama, monkeypatch):
    """One passage, many questions: the passage is run once."""
    passage = (2, *range(5, 55))
    sequences = [TokenSequence((*passage, 5 + i, 6 + i), (7, 8)) for i in range(12)]
    used = []
    for saving in (None, 8):
        judge = LocalJudge.load(str(llama), device="cpu", budget=Budget(1024, saving))
        forward = judge.model.base_model.forward
        seen = []
        monkeypatch.setattr(
            judge.model.base_model,
            "forward",
            lambda *a, _f=forward, _s=seen, **k: (_s.append(k["input_ids"].numel()), _f(*a, **k))[1],
        )
        judge.log_likelihoods(sequences)
        used.append(sum(seen))
    assert used == [12 * 54, 51 + 12 * 3]


def test_logits_are_computed_at_answer_positions_only(judge, monkeypatch):
    positions = []
    forward = judge.model.lm_head.forward
    monkeypatch.setattr(judge.model.lm_head, "forward", lambda h: (positions.append(len(h)), forward(h))[1])
    sequences = tree(seed=4)
    judge.log_likelihoods(sequences)
    assert sum(positions) == sum(len(s.answer) for s in sequences)


def test_a_model_that_sees_what_follows_is_no_judge(tmp_path):
    folder = tiny_llm(tmp_path, "bert")
    with pytest.raises(UnsupportedModelError, match="looks at later tokens"):
        LocalJudge.load(str(folder), device="cpu")


def test_likelihoods_that_are_not_finite_are_refused(llama):
    judge = LocalJudge.load(str(llama), device="cpu")
    with torch.no_grad():
        judge.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(NumericalError, match="not finite"):
        judge.log_likelihoods([TokenSequence((2, 5), (6,))])


def test_generation_is_the_greedy_loop(judge):
    prompts = [(2, 7, 8), (2, 9, 10, 11, 12)]
    found = judge.generate(prompts, 5)
    for prompt, text in zip(prompts, found, strict=True):
        ids = list(prompt)
        with torch.inference_mode():
            for _ in range(5):
                ids.append(judge.model(torch.tensor([ids])).logits[0, -1].argmax().item())
                if ids[-1] == judge.model.config.eos_token_id:
                    break
        assert text == judge.tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True)
