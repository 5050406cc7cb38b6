"""Loading: GGUF files, precision, what is missing; and the real SmolLM2."""

import importlib.util

import gguf
import numpy as np
import pytest
import torch

from devtools.tiny_llm import tiny_llm
from uec_retriever.errors import (
    InvalidInputError,
    MissingExtraError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from uec_retriever.utility_labeler.inspection import gold_first
from uec_retriever.utility_labeler.judge import TokenSequence
from uec_retriever.utility_labeler.labeler import Labeler
from uec_retriever.utility_labeler.local import LocalJudge
from uec_retriever.utility_labeler.quantized import Int8Linear
from uec_retriever.utility_labeler.questions import Candidate, Pair, Question

SEQUENCES = [TokenSequence((2, 5, 6, 7), (8, 9)), TokenSequence((2, 5, 6), (7,))]


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory):
    """A llama of one layer with a byte-level vocabulary, as llama.cpp would write it."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer, draw = gguf.GGUFWriter(path, "llama"), np.random.default_rng(0)
    hidden, inner, heads = 32, 64, 4
    letters = [chr(c) for c in range(33, 127)] + ["Ġ", "Ċ", "ab"]
    tokens = ["<unk>", "<s>", "</s>", *letters]
    writer.add_context_length(128)
    writer.add_embedding_length(hidden)
    writer.add_block_count(1)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(hidden // heads)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * len(letters))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    shapes = {
        "token_embd.weight": (len(tokens), hidden),
        "output.weight": (len(tokens), hidden),
        "output_norm.weight": (hidden,),
        "blk.0.attn_norm.weight": (hidden,),
        "blk.0.ffn_norm.weight": (hidden,),
        **{f"blk.0.attn_{name}.weight": (hidden, hidden) for name in ("q", "k", "v", "output")},
        "blk.0.ffn_gate.weight": (inner, hidden),
        "blk.0.ffn_up.weight": (inner, hidden),
        "blk.0.ffn_down.weight": (hidden, inner),
    }
    for name, shape in shapes.items():
        writer.add_tensor(name, draw.normal(0, 0.3, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_gguf_by_path_or_by_folder_and_name(tiny_gguf, plain_loop):
    by_path = LocalJudge.load(str(tiny_gguf), device="cpu")
    by_name = LocalJudge.load(str(tiny_gguf.parent), gguf_file="tiny.gguf", device="cpu")
    assert by_path.fingerprint == by_name.fingerprint
    assert by_path.description["gguf_file"] == "tiny.gguf" and by_path.context == 128
    expected = [plain_loop(by_path, s) for s in SEQUENCES]
    assert by_path.log_likelihoods(SEQUENCES) == pytest.approx(expected, abs=2e-5)


def test_without_the_packages_for_gguf_the_command_is_named(tiny_gguf, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "uec_retriever.utility_labeler.local.find_spec", lambda name: None if name == "gguf" else real(name)
    )
    with pytest.raises(MissingExtraError, match=r'gguf: pip install "uec-retriever\[label\]"'):
        LocalJudge.load(str(tiny_gguf))


def test_models_that_are_not_there(tmp_path):
    for name in ("nobody/nothing", str(tmp_path), str(tmp_path / "no.gguf")):
        with pytest.raises(ModelNotFoundError):
            LocalJudge.load(name)


def test_other_weights_or_precision_have_another_fingerprint(llama, tmp_path):
    judges = [
        LocalJudge.load(str(llama), device="cpu"),
        LocalJudge.load(str(llama), device="cpu", dtype="bfloat16"),
        LocalJudge.load(str(llama), device="cpu", quantize="int8"),
        LocalJudge.load(str(tiny_llm(tmp_path / "a", seed=1)), device="cpu"),
        LocalJudge.load(str(tiny_llm(tmp_path / "b", chat=True)), device="cpu"),
    ]
    assert len({j.fingerprint for j in judges}) == 5
    assert LocalJudge.load(str(tiny_llm(tmp_path / "c")), device="cpu").fingerprint == judges[0].fingerprint
    exact = judges[0].log_likelihoods(SEQUENCES)
    for cheaper in judges[1:3]:
        found = cheaper.log_likelihoods(SEQUENCES)
        assert found == pytest.approx(exact, abs=0.5) and found != exact
    with pytest.raises(InvalidInputError, match="dtype"):
        LocalJudge.load(str(llama), dtype="int4")
    with pytest.raises(InvalidInputError, match="for the CPU"):
        LocalJudge.load(str(llama), quantize="int8", device="cuda")


def test_int8_layers_are_close_and_each_token_stands_alone():
    torch.manual_seed(0)
    exact = torch.nn.Linear(64, 32)
    layer, inputs = Int8Linear(exact), torch.randn(2, 5, 64) * torch.tensor([1.0, 100.0])[:, None, None]
    expected, found = exact(inputs), layer(inputs)
    assert ((found - expected).norm(dim=-1) / expected.norm(dim=-1)).max() < 0.02
    assert torch.equal(layer(inputs[:1]), found[:1]) and torch.equal(layer(inputs[1, 3:4]), found[1, 3:4])


def test_models_without_linear_layers_are_not_quantised(tmp_path):
    with pytest.raises(UnsupportedModelError, match="bfloat16"):
        LocalJudge.load(str(tiny_llm(tmp_path, "gpt2")), device="cpu", quantize="int8")


@pytest.mark.models
def test_smollm2_finds_the_helpful_passage_and_equals_the_plain_loop(smollm2, plain_loop):
    judge = LocalJudge.load(str(smollm2), device="cpu")
    assert judge.description["logits"] == "gather" and judge.description["shared_beginnings"]
    question = Question("q", "Who discovered penicillin?", ("Alexander Fleming",))
    texts = {
        "gold": "Penicillin was discovered in 1928 by Alexander Fleming, a Scottish physician.",
        "near": "Antibiotics are medicines against bacteria. They do not work against viruses.",
        "far": "The boundary layer of a wing becomes turbulent at high Reynolds numbers.",
    }
    pairs = [Pair(question, Candidate(i, text, "given", int(i == "gold"))) for i, text in texts.items()]
    labeler = Labeler(judge)
    labels = labeler.label(pairs)
    assert gold_first(labels).rate == 1
    assert labels[0].utility > 1 > max(labels[1].utility, labels[2].utility)
    encoder = labeler._encoders[0]
    for label in labels:
        answer = encoder.answer(label.answer)
        sequence = TokenSequence(encoder.encode(label.question, label.passage, len(answer)).ids, answer)
        assert label.log_likelihood_with == pytest.approx(plain_loop(judge, sequence) / len(answer), abs=1e-4)
