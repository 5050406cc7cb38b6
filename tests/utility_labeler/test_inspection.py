import pytest

from uec_retriever.utility_labeler.inspection import by_question, gold_first, inspect_labels
from uec_retriever.utility_labeler.labels import Label


def label(question, passage, utility, relevance=0, source="bm25", truncated=False):
    return Label(
        question,
        passage,
        "what",
        "text",
        "so",
        -1.0,
        -1.0 - utility,
        utility,
        1,
        5,
        truncated,
        source,
        relevance,
        None,
        "r",
    )


LABELS = [
    label("a", "1", 2.0, 1, "gold"), label("a", "2", 1.0), label("a", "3", -1.0, 0, "random", True),
    label("b", "1", 0.0), label("b", "2", -1.0, 1, "gold"),
    label("c", "1", 0.5, 2, "gold"), label("c", "2", 0.5), label("c", "3", 0.5, 1, "gold"), label("c", "4", 0.1),
    label("d", "1", 3.0, 1, "gold"),  # alone: says nothing
    label("e", "1", 3.0, None, "given"), label("e", "2", 1.0, None, "given"),
]  # fmt: skip


def test_gold_first_by_hand():
    found = gold_first(LABELS)
    assert found.questions == 3
    assert found.rate == pytest.approx((1 + 0 + 2 / 3) / 3)  # a tie counts its share
    assert found.chance == pytest.approx((1 / 3 + 1 / 2 + 2 / 4) / 3)
    assert gold_first(LABELS[-2:]) is None


def test_summary_by_hand():
    found = inspect_labels(LABELS, bins=4, examples=2)
    assert (found.labels, found.questions, found.truncated, found.runs) == (12, 5, 1, ("r",))
    assert found.sources["gold"] == (5, pytest.approx((2 - 1 + 0.5 + 0.5 + 3) / 5))
    assert found.helps == pytest.approx(9 / 12)
    assert sum(found.histogram) == 12 and len(found.edges) == 5
    assert found.quantiles[0] == -1 and found.quantiles[-1] == 3
    assert len(found.examples) == 2 and all(len(group) > 1 for group in found.examples)


def test_best_first():
    assert [x.passage_id for x in by_question(LABELS)["b"]] == ["1", "2"]


def test_equal_utilities_and_none_at_all():
    assert sum(inspect_labels([label("a", "1", 0.5)] * 1).histogram) == 1
    with pytest.raises(ValueError, match="no labels"):
        inspect_labels([])
