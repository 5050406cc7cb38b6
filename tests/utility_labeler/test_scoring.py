"""Likelihoods against a plain loop over full logits, on many architectures."""

import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from devtools.tiny_llm import tiny_llm
from uec_retriever.errors import NumericalError, UnsupportedModelError
from uec_retriever.utility_labeler.heads import AnswerHead, attention_window
from uec_retriever.utility_labeler.judge import TokenSequence
from uec_retriever.utility_labeler.local import LocalJudge
from uec_retriever.utility_labeler.packing import Layout, packed_attention
from uec_retriever.utility_labeler.scoring import Budget, SequenceScorer, batches
from uec_retriever.utility_labeler.sharing import Segment

WAYS = {
    "llama": ("gather", True),
    "gpt2": ("gather", True),
    "gemma2": ("keep", True),  # soft caps, eager attention, sliding windows shorter than some texts
    "gemma3_text": ("gather", True),  # sliding windows
    "granite": ("keep", True),  # scaled logits
    "bloom": ("gather", False),  # its attention is fixed
    "opt": ("gather", True),
    "mamba": ("gather", False),  # no attention
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


@pytest.mark.parametrize("budget", [Budget(t, s) for t in (1, 40, 10**6) for s in (None, 1, 32)])
@pytest.mark.parametrize("pack", [True, False])
def test_no_budget_changes_a_likelihood(llama, plain_loop, budget, pack):
    judge = LocalJudge.load(str(llama), device="cpu", budget=replace(budget, pack=pack))
    sequences = tree(seed=1)
    expected = [plain_loop(judge, s) for s in sequences]
    assert judge.log_likelihoods(sequences) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_one_mask_for_all_is_worth_the_same_as_segments(architecture, tmp_path, plain_loop, monkeypatch):
    """What other devices than the CPU do."""
    judge = LocalJudge.load(str(tiny_llm(tmp_path, architecture)), device="cpu")
    layout = AnswerHead.layout
    made = []

    def whole(self, segments):
        made.append(Layout(segments, self.dtype, self.device, whole=True))
        return made[-1]

    monkeypatch.setattr(AnswerHead, "layout", whole)
    sequences = tree(seed=5)
    expected = [plain_loop(judge, s) for s in sequences]
    assert judge.log_likelihoods(sequences) == pytest.approx(expected, abs=2e-5)
    assert made and all(len(m.stretches) == 1 for m in made)
    assert (
        len(layout(judge._scorer.head, [Segment((5, 6), 0, None, 0), Segment((7,), 2, 0, 1)]).stretches) == 2
    )


def test_coarser_numbers_are_packed_too(llama, plain_loop):
    """Rounding is larger then, and must not be taken for a wrong mask."""
    judge = LocalJudge.load(str(llama), device="cpu", dtype="bfloat16")
    assert judge.description["shared_beginnings"]
    sequences = tree(seed=7)
    expected = [plain_loop(judge, s) for s in sequences]
    assert judge.log_likelihoods(sequences) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_that_ignores_who_sees_what_is_not_packed(llama, plain_loop, monkeypatch, dtype):
    """As one does whose attention does not ask transformers' interface."""
    monkeypatch.setattr("uec_retriever.utility_labeler.packing._NAME", "sdpa")
    monkeypatch.setattr("transformers.AttentionInterface.register", lambda *_: None)
    judge = LocalJudge.load(str(llama), device="cpu", dtype=dtype)
    assert not judge.description["shared_beginnings"]
    sequences = tree(seed=8)
    expected = [plain_loop(judge, s) for s in sequences]
    assert judge.log_likelihoods(sequences) == pytest.approx(expected, rel=0.02)


def test_beyond_a_sliding_window_nothing_is_packed(tmp_path, monkeypatch):
    head = AnswerHead(LocalJudge.load(str(tiny_llm(tmp_path, "gemma3_text")), device="cpu").model)
    assert head.packs and head.window == 24
    judge = LocalJudge.load(str(tmp_path), device="cpu")
    packed, padded = [], []
    monkeypatch.setattr(
        AnswerHead,
        "score_packed",
        lambda self, layout, places, _f=AnswerHead.score_packed: (
            packed.append(layout),
            _f(self, layout, places),
        )[1],
    )
    monkeypatch.setattr(
        AnswerHead,
        "score_padded",
        lambda self, rows, places, _f=AnswerHead.score_padded: (padded.extend(rows), _f(self, rows, places))[
            1
        ],
    )
    judge.log_likelihoods([TokenSequence(tuple(range(5, 5 + n)), (7,)) for n in (20, 24, 25, 40)])
    assert [m.positions.max().item() + 1 for m in packed] == [24]
    assert sorted(map(len, padded)) == [25, 40]


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({}, None),
        ({"sliding_window": None, "layer_types": ["full_attention"]}, None),
        ({"sliding_window": 24, "attention_chunk_size": 8, "layer_types": ["chunked_attention"]}, 8),
        ({"layer_types": ["full_attention", "sliding_attention"]}, 0),
    ],
)
def test_windows_are_told_or_nothing_is_packed(judge, monkeypatch, config, window):
    assert attention_window(SimpleNamespace(**config)) == window
    head = judge._scorer.head
    monkeypatch.setattr(head, "window", window)
    assert SequenceScorer(head, Budget()).packs == (window != 0)


def test_packing_leaves_the_model_as_it_was(judge):
    model = judge.model
    usual, ids = model.config._attn_implementation, torch.tensor([[2, 7, 8, 9]])
    expected = model(ids).logits
    judge.log_likelihoods(tree(seed=6))
    layout = judge._scorer.head.layout([Segment((2, 7), 0, None, 0)])
    with pytest.raises(KeyboardInterrupt), packed_attention(model, layout):
        raise KeyboardInterrupt
    assert model.config._attn_implementation == usual
    assert torch.equal(model(ids).logits, expected)


def test_batches_are_within_budget_and_padding():
    lengths = [5, 40, 9, 38, 10, 41, 8, 1]
    found = list(batches(lengths, 90))
    assert found == [[5, 1], [3], [4, 2, 6, 0], [7]]
    assert list(batches(lengths, 1)) == [[i] for i in sorted(range(8), key=lambda i: -lengths[i])]
    assert list(batches([], 10)) == []


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
