"""The loss on real (tiny) encoders: against the library's, and in mini-batches."""

import math

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    DistillKLDivLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.util import pairwise_cos_sim

from devtools.tiny import tiny_model, tokenizer
from uec_retriever.errors import InvalidInputError
from uec_retriever.training import UtilityModulatedInfoNCELoss
from uec_retriever.training.columns import embed_columns
from uec_retriever.training.distillation import PaddedDistillKLDivLoss

NAN = float("nan")
QUESTIONS = ["what is a wing", "how does heat flow", "why one cat"]
COLUMNS = [
    ["a wing of the aircraft", "heat flow to the boundary layer of a model", "the cat is small"],
    ["the dog", "cat and dog and bird and red and green", "a large bird is on the wing"],
    ["pressure in the supersonic boundary", "hello world", "seven"],
]


def features(model, columns=COLUMNS, prompt=None):
    return [model.preprocess(QUESTIONS, prompt=prompt), *(model.preprocess(c) for c in columns)]


def loss_and_gradient(loss, model, labels, columns=COLUMNS, prompt=None):
    model.zero_grad()
    value = loss(features(model, columns, prompt), labels)
    value.backward()
    return value.detach(), {
        n: p.grad.clone()
        for n, p in model.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }


def assert_same(one, other, **tolerance):
    torch.testing.assert_close(one[0], other[0], **tolerance)
    assert one[1].keys() == other[1].keys()
    for name in one[1]:
        torch.testing.assert_close(
            one[1][name], other[1][name], **(tolerance or {"rtol": 1e-4, "atol": 1e-6})
        )


def one_hot(rows=3, n=3):
    labels = torch.full((rows, n), -math.inf)
    labels[:, 0] = 0.0
    return labels


@pytest.mark.parametrize("architecture", ["bert", "qwen3"])
def test_one_hot_utilities_equal_multiple_negatives_ranking(tmp_path, architecture):
    model = tiny_model(tmp_path / "m", architecture).eval()
    ours = loss_and_gradient(UtilityModulatedInfoNCELoss(model, tau=0.05), model, one_hot())
    theirs = loss_and_gradient(MultipleNegativesRankingLoss(model, scale=20.0), model, one_hot())
    assert_same(ours, theirs, rtol=2e-4, atol=2e-5)


def test_the_baseline_equals_the_library_s_distillation(student):
    labels = torch.tensor([[1.0, 0.2, -0.3], [0.0, 0.5, 0.1], [2.0, 1.0, 0.9]])
    ours = loss_and_gradient(PaddedDistillKLDivLoss(student, tau=0.1, tau_u=0.5), student, labels)
    scaled = DistillKLDivLoss(
        student, similarity_fct=lambda a, b: pairwise_cos_sim(a, b) / 0.1, temperature=1.0
    )
    assert_same(ours, loss_and_gradient(scaled, student, labels / 0.5), rtol=1e-4, atol=1e-5)


def test_distillation_over_padding_is_the_mean_over_rows(student):
    labels = torch.tensor([[1.0, 0.2, -0.3], [0.0, 0.5, NAN], [2.0, NAN, NAN]])
    loss = PaddedDistillKLDivLoss(student)
    whole = loss(features(student), labels)
    rows = []
    for r in (0, 1):
        n = 3 - r
        parts = [student.preprocess([QUESTIONS[r]]), *(student.preprocess([c[r]]) for c in COLUMNS[:n])]
        rows.append(loss(parts, labels[r : r + 1, :n]))
    torch.testing.assert_close(whole, torch.stack(rows).mean(), rtol=1e-4, atol=1e-6)
    nothing = loss(features(student), torch.full((3, 3), NAN))
    nothing.backward()
    assert nothing.item() == 0


@pytest.mark.parametrize("kind", [UtilityModulatedInfoNCELoss, PaddedDistillKLDivLoss])
@pytest.mark.parametrize("size", [1, 2, 100])
def test_mini_batches_change_no_gradient(student, kind, size):
    labels = torch.tensor([[1.0, 0.2, -0.3], [0.0, NAN, 0.1], [2.0, 1.0, 0.9]])
    whole = loss_and_gradient(kind(student), student, labels)
    parts = loss_and_gradient(kind(student, mini_batch_size=size), student, labels)
    assert_same(whole, parts)


def test_mini_batches_repeat_the_same_dropout(student):
    """The backward pass computes activations again: with other dropout, gradients would be noise."""
    student.train()
    labels = torch.randn(3, 3)
    results = []
    for loss in (
        UtilityModulatedInfoNCELoss(student),
        UtilityModulatedInfoNCELoss(student, mini_batch_size=32),
    ):
        torch.manual_seed(3)
        results.append(loss_and_gradient(loss, student, labels))
    assert_same(*results)


def test_mini_batches_keep_few_activations(student):
    """What autograd saves does not grow with the texts, only with the mini-batch."""

    def saved(size):
        total = 0

        def pack(tensor):
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            UtilityModulatedInfoNCELoss(student, mini_batch_size=size)(features(student), torch.randn(3, 3))
        return total

    assert saved(2) < saved(None) / 10


def test_a_prompt_left_out_of_pooling_survives_recomputation(tmp_path):
    """Pooling writes into the attention mask; a second pass must see the first one's."""
    model = tiny_model(tmp_path / "m").eval()
    model[1].include_prompt = False
    labels = torch.randn(3, 3)
    plain = loss_and_gradient(UtilityModulatedInfoNCELoss(model), model, labels, prompt="hello world ")
    again = loss_and_gradient(
        UtilityModulatedInfoNCELoss(model, mini_batch_size=1), model, labels, prompt="hello world "
    )
    assert_same(plain, again)


@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta", "modernbert", "qwen3"])
def test_embeddings_equal_the_model_s_own(tmp_path, architecture):
    """Whatever side is padded, in whatever order the rows go through."""
    model = tiny_model(tmp_path / "m", architecture).eval()
    batch = embed_columns(model, features(model), torch.ones(3, 3, dtype=torch.bool), 2)
    expected = model.encode(QUESTIONS, convert_to_tensor=True)
    torch.testing.assert_close(batch.queries.detach(), expected, rtol=1e-3, atol=1e-4)
    for c, column in enumerate(COLUMNS):
        own = batch.passages[batch.slots[:, c]].detach()
        torch.testing.assert_close(own, model.encode(column, convert_to_tensor=True), rtol=1e-3, atol=1e-4)


def test_a_passage_in_two_places_is_embedded_once(student):
    columns = [COLUMNS[0], [COLUMNS[0][1], "the dog", COLUMNS[0][1]], COLUMNS[2]]
    present = torch.tensor([[1, 1, 1], [1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    batch = embed_columns(student, features(student, columns), present, None)
    assert len(batch.passages) == 6
    assert batch.slots[0, 1] == batch.slots[1, 0] == batch.slots[2, 1]
    assert batch.slots[2, 2] == -1
    assert batch.same_question.tolist() == torch.eye(3).bool().tolist()


def test_static_embeddings_train_too():
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer(), embedding_dim=16)], device="cpu")
    columns = [COLUMNS[0], [COLUMNS[0][1], "the dog", "six"], COLUMNS[2]]
    labels = torch.tensor([[1.0, 0.2, -0.3], [0.0, NAN, 0.1], [2.0, 1.0, 0.9]])
    value, gradient = loss_and_gradient(
        UtilityModulatedInfoNCELoss(model, mini_batch_size=2), model, labels, columns
    )
    assert value > 0
    assert gradient and all(torch.isfinite(g).all() for g in gradient.values())
    batch = embed_columns(model, features(model, columns), ~torch.isnan(labels), None)
    assert len(batch.passages) == 7  # nine places, one empty, one passage twice
    expected = model.encode(COLUMNS[2], convert_to_tensor=True)
    torch.testing.assert_close(batch.passages[batch.slots[:, 2]].detach(), expected)


def test_configuration_and_citation_reach_the_card(student):
    loss = UtilityModulatedInfoNCELoss(student, tau=0.1, tau_u=0.3, margin=None, mini_batch_size=4)
    assert loss.get_config_dict() == {"tau": 0.1, "tau_u": 0.3, "margin": None, "mini_batch_size": 4}
    assert "2604.22722" in loss.citation
    assert PaddedDistillKLDivLoss(student, tau_u=0.3).get_config_dict()["tau_u"] == 0.3
    assert "lin2020" in PaddedDistillKLDivLoss(student).citation


@pytest.mark.parametrize(
    "options",
    [{"tau": 0}, {"tau": math.inf}, {"tau_u": 0}, {"tau_u": NAN}, {"margin": -0.1}, {"mini_batch_size": 0}],
)
def test_parameters_out_of_range_are_named(student, options):
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        UtilityModulatedInfoNCELoss(student, **options)


@pytest.mark.parametrize("labels", [None, torch.ones(3), torch.ones(3, 2)])
def test_labels_that_do_not_fit_are_refused(student, labels):
    with pytest.raises(InvalidInputError, match="3 candidate columns"):
        UtilityModulatedInfoNCELoss(student)(features(student), labels)


def test_an_infinite_utility_is_refused(student):
    with pytest.raises(InvalidInputError, match=r"\+inf"):
        UtilityModulatedInfoNCELoss(student)(features(student), torch.full((3, 3), math.inf))
