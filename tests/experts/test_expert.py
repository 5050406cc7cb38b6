"""Means of an expert against sentence-transformers; what must not change a mean or a variance.

"Mistake n" counts the mistakes of the authors' code (shared/style.md), each a regression test.
"""

import numpy as np
import pytest
import torch
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import LayerNorm

from devtools.tiny import ARCHITECTURES, DECODERS, HIDDEN

POOLINGS = ("mean", "cls", "lasttoken", "weightedmean", "mean_sqrt_len_tokens")
PROMPTS = {"query": "what query ", "passage": "this document: "}
STRUCTURES = ("diag", "kron")


def assert_close(result, oracle, tolerance=1e-5):
    result, oracle = np.asarray(result), np.asarray(oracle)
    np.testing.assert_allclose(result, oracle, rtol=tolerance, atol=tolerance * np.abs(oracle).max())


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_mean_is_what_sentence_transformers_encodes_with_prompts(tiny, expert, texts, architecture, pooling):
    model = tiny(architecture, pooling=pooling, prompts=PROMPTS)
    made = expert(model)
    query, document = (made.encode(texts, role).gaussian.mean for role in ("query", "document"))
    assert_close(query, model.encode_query(texts, normalize_embeddings=True))
    assert_close(document, model.encode_document(texts, normalize_embeddings=True))
    sees_prompt = pooling != "cls" or architecture not in DECODERS  # a causal first token sees itself only
    assert (np.abs(query - document).max() > 1e-3) == sees_prompt


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prompts": {"document": "this ", "passage": "what "}},
        {"prompts": {"corpus": "this "}},
        {"prompts": {"a": "small large ", "query": ""}, "default_prompt_name": "a"},
        {"truncate_dim": 12, "prompts": PROMPTS},
    ],
    ids=str,
)
def test_choice_of_prompt_and_dimensions_is_that_of_sentence_transformers(tiny, expert, texts, options):
    model = tiny("bert", **options)
    made = expert(model)
    query, document = (made.encode(texts, role).gaussian.mean for role in ("query", "document"))
    assert_close(query, model.encode_query(texts, normalize_embeddings=True))
    assert_close(document, model.encode_document(texts, normalize_embeddings=True))


def test_mean_of_static_embedding_with_prompts(static, expert, texts):
    model = static(prompts=PROMPTS)
    mean = expert(model).encode(texts, "query").gaussian.mean
    assert_close(mean, model.encode_query(texts, normalize_embeddings=True))


@pytest.mark.parametrize("heads", [[Dense(HIDDEN, 20)], [LayerNorm(HIDDEN)]], ids=["dense", "norm"])
def test_mean_of_models_with_a_head(with_head, expert, texts, heads):
    model = with_head(*heads)
    assert_close(
        expert(model).encode(texts, "document").gaussian.mean, model.encode(texts, normalize_embeddings=True)
    )


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_text_alone_equals_text_among_others_in_any_order(tiny, expert, texts, architecture, structure):
    """Mistake 2: no attention mask, so that a variance changed with the batch-mates."""
    made = expert(tiny(architecture, pooling="weightedmean"), structure)
    together = made.encode(texts, "document").gaussian
    reversed_pairs = made.encode(texts[::-1], "document", batch_size=2).gaussian
    for row, text in enumerate(texts):
        alone = made.encode([text], "document").gaussian
        for other in (together[[row]], reversed_pairs[[len(texts) - 1 - row]]):
            assert_close(other.mean, alone.mean, 1e-4)
            assert_close(other.variance, alone.variance, 1e-4)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("architecture", ["modernbert", "qwen3"])
def test_padding_side_changes_nothing(tiny, expert, texts, architecture, pooling):
    """For models with relative positions; with absolute ones left padding moves the text itself."""
    made = expert(tiny(architecture, pooling=pooling))
    results = {}
    for side in ("left", "right"):
        made.model.tokenizer.padding_side = side
        results[side] = made.linearise(texts, "document").features, made.encode(texts, "document").gaussian
    assert_close(results["left"][0], results["right"][0], 1e-4)
    assert_close(results["left"][1].mean, results["right"][1].mean, 1e-4)
    assert_close(results["left"][1].variance, results["right"][1].variance, 1e-4)


def test_model_left_in_training_mode_is_encoded_without_dropout(tiny, expert, texts):
    made = expert(tiny("bert"))
    before = made.encode(texts, "document").gaussian
    made.model.train()
    after = made.encode(texts, "document").gaussian
    assert np.array_equal(after.mean, before.mean)
    assert np.array_equal(after.variance, before.variance)


def test_more_texts_than_a_chunk_come_back_in_order(static, expert):
    words = list(static()[0].tokenizer.get_vocab())[4:]
    many = [" ".join(words[i % len(words)] for i in range(k, k + 1 + k % 5)) for k in range(1200)]
    made = expert(static(), "kron")
    done = []
    together = made.encode(many, "document", batch_size=64, progress=done.append).gaussian
    assert (len(together), sum(done)) == (1200, 1200)
    for row in (0, 511, 512, 1199):
        alone = made.encode([many[row]], "document").gaussian
        assert_close(together.mean[[row]], alone.mean)
        assert_close(together.variance[[row]], alone.variance)


def test_one_forward_pass_and_no_graph(tiny, expert, texts):
    made = expert(tiny("bert"))
    calls = []
    made.model[0].auto_model.encoder.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    linearised = made.linearise(texts, "document")
    assert calls == [False]
    made.encode(texts, "document", batch_size=4)
    assert calls == [False] * 3
    assert not any(t.requires_grad for t in (linearised.features, linearised.embeddings, linearised.gain))
