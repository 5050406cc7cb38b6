"""The fingerprint changes with everything that decides an embedding, and with nothing else."""

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from torch import nn

from devtools.tiny import HIDDEN
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fingerprint import model_fingerprint


def one_weight(model):
    with torch.no_grad():
        model[0].auto_model.encoder.layer[0].output.dense.weight[0, 0] += 1e-6


def one_bias_in_the_last_bit(model):
    bias = model[0].auto_model.encoder.layer[1].output.dense.bias
    with torch.no_grad():
        bias[3] = torch.nextafter(bias[3], torch.tensor(9.0))


def pooling_mode(model):
    model[1].pooling_mode = "cls"


def include_prompt(model):
    model[1].include_prompt = False


def prompts(model):
    model.prompts = {**model.prompts, "query": "find: "}


def default_prompt(model):
    model.default_prompt_name = "query"


def truncate_dim(model):
    model.truncate_dim = 16


def max_seq_length(model):
    model.max_seq_length = 32


def vocabulary(model):
    model.tokenizer.add_tokens(["aeroelastic"])


def cased(model):
    model.tokenizer.backend_tokenizer.normalizer = None


def dtype(model):
    model.half()


def bfloat(model):
    model.bfloat16()


CHANGES = [
    one_weight,
    one_bias_in_the_last_bit,
    pooling_mode,
    include_prompt,
    prompts,
    default_prompt,
    truncate_dim,
    max_seq_length,
    vocabulary,
    cased,
    dtype,
    bfloat,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_changes_with(tiny, change):
    model = tiny("bert", prompts={"query": "what "})
    before = model_fingerprint(model)
    assert model_fingerprint(model) == before
    change(model)
    assert model_fingerprint(model) != before


def test_changes_are_told_apart(tiny):
    seen = set()
    for change in CHANGES:
        model = tiny("bert", prompts={"query": "what "})
        change(model)
        seen.add(model_fingerprint(model))
    assert len(seen) == len(CHANGES)


def test_head_is_part_of_it(with_head):
    torch.manual_seed(0)
    weight = torch.randn(8, HIDDEN)
    heads = [
        Dense(HIDDEN, 8, bias=False, activation_function=activation, init_weight=weight, use_residual=False)
        for activation in (nn.Tanh(), nn.Identity(), nn.GELU())
    ]
    prints = [model_fingerprint(with_head(head)) for head in heads]
    prints.append(model_fingerprint(with_head()))
    assert len(set(prints)) == 4


def test_residual_of_a_square_head_is_part_of_it(with_head):
    weight = torch.eye(HIDDEN)
    prints = {
        model_fingerprint(
            with_head(Dense(HIDDEN, HIDDEN, init_weight=weight, bias=False, use_residual=residual))
        )
        for residual in (False, True)
    }
    assert len(prints) == 2


@pytest.mark.parametrize("architecture", ["bert", "modernbert", "qwen3"])
def test_unchanged_by_saving_and_loading(tiny, tmp_path, architecture):
    model = tiny(architecture, pooling="cls", prompts={"query": "what "}, truncate_dim=12)
    before = model_fingerprint(model)
    for copy in ("first", "second"):
        folder = str(tmp_path / copy)
        model.save(folder)
        model = SentenceTransformer(folder, device="cpu", truncate_dim=12)
        assert model_fingerprint(model) == before


def test_unchanged_by_saving_and_loading_a_static_embedding(static, tmp_path):
    model = static()
    model.save(str(tmp_path / "static"))
    loaded = SentenceTransformer(str(tmp_path / "static"), device="cpu")
    assert model_fingerprint(loaded) == model_fingerprint(model)


def test_unchanged_by_use_and_by_the_hooks_of_an_expert(tiny, texts):
    model = tiny("bert")
    before = model_fingerprint(model)
    expert = Expert(model, "tiny")
    expert.linearise(texts, "query")
    model.encode(texts)
    assert expert.fingerprint == model_fingerprint(model) == before


def test_two_seeds_differ_and_equal_dimension_is_no_excuse(tiny):
    first = model_fingerprint(tiny("bert", seed=0))
    assert first == model_fingerprint(tiny("bert", seed=0)) != model_fingerprint(tiny("bert", seed=1))


def test_equal_bytes_of_another_type_differ(static):
    model = static()
    model[0].embedding.weight = nn.Parameter(model[0].embedding.weight.detach().half())
    half = model_fingerprint(model)
    model[0].embedding.weight = nn.Parameter(model[0].embedding.weight.detach().view(torch.bfloat16))
    assert model_fingerprint(model) != half
