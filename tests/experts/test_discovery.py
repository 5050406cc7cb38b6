"""Which layer is found, and what is refused by name."""

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Router
from sentence_transformers.sentence_transformer.modules import (
    CNN,
    LSTM,
    Dropout,
    LayerNorm,
    Normalize,
    Pooling,
    WeightedLayerPooling,
)
from torch import nn

from devtools.tiny import ARCHITECTURES, HIDDEN, tiny_transformer
from uec_retriever.errors import UnsupportedModelError
from uec_retriever.experts.discovery import find_last_layer

POOLINGS = ("mean", "cls", "lasttoken", "weightedmean", "mean_sqrt_len_tokens")
EXPECTED = {
    "bert": ("encoder.layer.1.output.dense", ["encoder.layer.1.output.LayerNorm"]),
    "mpnet": ("encoder.layer.1.output.dense", ["encoder.layer.1.output.LayerNorm"]),
    "xlm-roberta": ("encoder.layer.1.output.dense", ["encoder.layer.1.output.LayerNorm"]),
    "modernbert": ("layers.1.mlp.Wo", ["final_norm"]),
    "nomic_bert": ("layers.1.mlp.down_proj", ["layers.1.post_mlp_layernorm"]),
    "qwen3": ("layers.1.mlp.down_proj", ["norm"]),
    "mistral": ("layers.1.mlp.down_proj", ["norm"]),
    "gemma3_text": ("layers.1.mlp.down_proj", ["layers.1.post_feedforward_layernorm", "norm"]),
    "distilbert": ("transformer.layer.1.ffn.lin2", ["transformer.layer.1.output_layer_norm"]),
}


def names(norms):
    return [norm.name for norm in norms]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_layer_and_norms_of_every_architecture_and_pooling(tiny, architecture, pooling):
    found = find_last_layer(tiny(architecture, pooling=pooling))
    linear, norms = EXPECTED[architecture]
    assert found.name == f"0.model.{linear}"
    assert names(found.token_norms) == [f"0.model.{norm}" for norm in norms]
    assert (found.text_norms, found.activation, found.dimension) == ((), None, HIDDEN)
    assert found.pooling.pooling_mode == pooling
    assert torch.equal(found.weight, found.linear.weight)


def test_every_architecture_is_expected():
    assert set(EXPECTED) == set(ARCHITECTURES)


def test_unused_pooler_comes_last_but_is_not_taken(tiny):
    model = tiny("bert")
    called = []
    pooler = model.get_submodule("0.model.pooler.dense")
    pooler.register_forward_hook(lambda *_: called.append("pooler"))
    assert find_last_layer(model).name == "0.model.encoder.layer.1.output.dense"
    assert called, "the pooler must run, otherwise this test shows nothing"


@pytest.mark.parametrize("layers", [1, 3])
def test_number_of_layers_is_not_assumed(tmp_path, layers):
    transformer = tiny_transformer(tmp_path, "bert", layers=layers)
    model = SentenceTransformer(modules=[transformer, Pooling(HIDDEN)], device="cpu")
    assert find_last_layer(model).name == f"0.model.encoder.layer.{layers - 1}.output.dense"


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("activation", [nn.Identity, nn.Tanh, nn.GELU])
def test_dense_head_is_the_last_layer(with_head, activation, residual):
    head = Dense(HIDDEN, HIDDEN, activation_function=activation(), use_residual=residual)
    found = find_last_layer(with_head(head))
    assert found.name == "2.linear"
    assert found.pooling is None
    assert found.token_norms == found.text_norms == ()
    assert isinstance(found.activation, activation) or activation is nn.Identity and found.activation is None


def test_projected_residual_of_a_dense_head_runs_last_and_is_taken(with_head):
    found = find_last_layer(with_head(Dense(HIDDEN, 20, use_residual=True)))
    assert found.name == "2.residual"
    assert found.activation is None


def test_second_of_two_dense_heads(with_head):
    found = find_last_layer(with_head(Dense(HIDDEN, 24), Dense(24, 12, activation_function=nn.Identity())))
    assert (found.name, found.dimension, found.activation) == ("3.linear", 12, None)


def test_dense_on_tokens_before_pooling(with_head):
    head = Dense(HIDDEN, 20, activation_function=nn.Identity(), module_input_name="token_embeddings")
    found = find_last_layer(with_head(head, Pooling(20), pooling=False))
    assert (found.name, found.token_norms, found.dimension) == ("1.linear", (), 20)
    assert found.pooling is not None


def test_sentence_level_norm_after_pooling_is_a_text_norm(with_head):
    found = find_last_layer(with_head(LayerNorm(HIDDEN), Dropout(0.1)))
    assert names(found.token_norms) == ["0.model.encoder.layer.1.output.LayerNorm"]
    assert names(found.text_norms) == ["2.norm"]


def test_norm_after_a_tanh_head(with_head):
    found = find_last_layer(with_head(Dense(HIDDEN, 20), LayerNorm(20)))
    assert found.name == "2.linear"
    assert names(found.text_norms) == ["3.norm"]
    assert isinstance(found.activation, nn.Tanh)


def test_static_embedding_is_a_bag(static):
    found = find_last_layer(static())
    assert (found.name, found.is_bag, found.dimension) == ("0.embedding", True, 16)
    assert found.token_norms == found.text_norms == ()


@pytest.mark.parametrize("architecture", ["bert", "qwen3"])
def test_matryoshka_truncation_keeps_the_first_rows(tiny, architecture):
    found = find_last_layer(tiny(architecture, truncate_dim=12))
    assert found.dimension == 12
    assert torch.equal(found.weight, found.linear.weight[:12])


def test_matryoshka_truncation_of_a_bag_keeps_the_first_columns(static):
    found = find_last_layer(static(truncate_dim=5))
    assert torch.equal(found.weight, found.linear.weight[:, :5])


def test_finding_changes_no_weight_and_no_gradient(tiny):
    model = tiny("bert")
    before = {name: p.clone() for name, p in model.named_parameters()}
    find_last_layer(model)
    assert all(torch.equal(before[name], p) and p.grad is None for name, p in model.named_parameters())


def test_finding_leaves_the_global_generator_as_it_is(tiny):
    model = tiny("bert")
    before = torch.get_rng_state()
    find_last_layer(model)
    assert torch.equal(torch.get_rng_state(), before)


class Gate(Dense):
    def forward(self, features):
        x = self.linear(features["sentence_embedding"])
        return {**features, "sentence_embedding": x * torch.sigmoid(x)}


class MovingAverage(nn.Module):
    def forward(self, x):
        return x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]


def refusal(model):
    with pytest.raises(UnsupportedModelError) as caught:
        find_last_layer(model)
    return str(caught.value)


@pytest.mark.parametrize("mode", ["max", ("mean", "cls"), ("cls", "max")])
def test_pooling_that_is_no_weighted_mean_is_named(tiny, mode):
    assert f"pooling mode {mode!r}" in refusal(tiny("bert", pooling=mode))


def test_shared_weights_of_albert_are_named(tiny):
    message = refusal(tiny("albert"))
    assert "albert_layers.0.ffn_output' is applied 2 times" in message


@pytest.mark.parametrize(
    "module",
    [CNN(HIDDEN, 8), LSTM(HIDDEN, 8), WeightedLayerPooling(HIDDEN, 2, 1)],
    ids=lambda m: type(m).__name__,
)
def test_module_on_tokens_is_named(with_head, module):
    model = with_head(module, Pooling(module.get_embedding_dimension()), pooling=False)
    assert f"module 1 of the model, {type(module).__name__}" in refusal(model)


def test_router_is_named(static):
    router = Router.for_query_document([static()[0]], [static()[0]])
    assert "module 0 of the model, Router" in refusal(SentenceTransformer(modules=[router], device="cpu"))


def test_normalisation_in_the_middle_is_named(with_head):
    assert "module 2 of the model, Normalize" in refusal(with_head(Normalize(), Dense(HIDDEN, 8)))


def test_bag_that_sums_is_named(static):
    model = static()
    model[0].embedding.mode = "sum"
    assert "'0.embedding' is an EmbeddingBag of mode 'sum'" in refusal(model)


def test_gate_after_a_dense_head_is_named(with_head):
    message = refusal(with_head(Gate(HIDDEN, HIDDEN, activation_function=nn.Identity())))
    assert "between '2.linear' and the sentence embedding" in message


@pytest.mark.parametrize(
    "between", [nn.SiLU(), MovingAverage(), nn.Softmax(-1)], ids=lambda m: type(m).__name__
)
def test_module_between_the_layer_and_its_norm_is_named(tiny, between):
    model = tiny("bert")
    model[0].auto_model.encoder.layer[1].output.dropout = between
    message = refusal(model)
    assert "'0.model.encoder.layer.1.output.dense'" in message
    assert "'0.model.encoder.layer.1.output.LayerNorm'" in message


def test_activation_that_mixes_dimensions_is_named(with_head):
    assert "between '2.linear'" in refusal(with_head(Dense(HIDDEN, 8, activation_function=nn.Softmax(-1))))


def test_unknown_normalisation_layer_is_named(tiny):
    class SquashNorm(nn.Module):
        def forward(self, x):
            return torch.tanh(x)

    model = tiny("bert")
    model[0].auto_model.encoder.layer[1].output.LayerNorm = SquashNorm()
    message = refusal(model)
    assert "'0.model.encoder.layer.1.output.LayerNorm' (SquashNorm)" in message


class Adapted(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.base_layer = base
        self.lora_A, self.lora_B = nn.Linear(base.in_features, 2), nn.Linear(2, base.out_features)

    def forward(self, x):
        return self.base_layer(x) + self.lora_B(self.lora_A(x))


def test_low_rank_adapter_is_named_without_peft(tiny):
    """A stand-in whose modules are called as peft calls them."""
    model = tiny("bert")
    output = model[0].auto_model.encoder.layer[1].output
    output.dense = Adapted(output.dense)
    assert "output.dense.lora_B' is a LoRA adapter" in refusal(model)


def test_lora_adapter_of_peft_is_named(tiny):
    peft = pytest.importorskip("peft")
    model = tiny("bert")
    try:
        model[0].auto_model.add_adapter(peft.LoraConfig(target_modules=["output.dense"], r=2))
    except (ImportError, ValueError) as error:
        if "PEFT" not in str(error):
            raise
        pytest.skip(f"this transformers and this peft do not go together: {error}")
    assert "LoRA adapter" in refusal(model)
