"""What chooses k1, b and the lexical share: on made-up numbers, and whole at a small size."""

import numpy as np
import pytest

from benchmarks.own_tables import OWN_TABLES
from benchmarks.words import describe_jointly
from benchmarks.words_grid import Grid, Setting
from devtools.models import MINILM, WORDLLAMA
from uec_retriever.experts.lexical import LexicalExpert, LexicalShare


@pytest.fixture
def grid():
    """Of three sets, the first two like the first setting, the third, by more, the second."""
    one, two = (Setting(LexicalExpert(k1, 0.4), LexicalShare()) for k1 in (0.9, 1.2))
    values = {
        "a": {one: np.array([0.6, 0.6]), two: np.array([0.5, 0.5])},
        "b": {one: np.array([0.3]), two: np.array([0.2])},
        "c": {one: np.array([0.1, 0.1, 0.1]), two: np.array([0.5, 0.5, 0.5])},
    }
    return one, two, Grid(values)


def test_sets_count_alike_and_the_left_out_one_has_no_say(grid):
    one, two, found = grid
    assert found.mean(one) == pytest.approx(1 / 3)
    assert found.mean(two) == pytest.approx(0.4)
    assert found.best() == two
    assert found.best(["c"]) == one
    assert found.best(among=lambda s: s.lexical.k1 < 1) == one
    assert found.leave_one_out() == {"a": two, "b": two, "c": one}
    assert found.held_out(found.leave_one_out()) == pytest.approx((0.5 + 0.2 + 0.1) / 3)
    gain = found.gain(two, one)
    assert (gain.low, gain.mean, gain.high) == pytest.approx([0.2 / 3] * 3)  # no query differs from its set


def test_ensembles_choose_together(grid):
    one, two, found = grid
    other = Grid({"a": {one: np.array([0.9]), two: np.array([0.1])}})
    joint = Grid.join({"x": found, "y": other})
    assert joint.sets == ["x/a", "x/b", "x/c", "y/a"]
    assert joint.mean(one) == pytest.approx((0.6 + 0.3 + 0.1 + 0.9) / 4)
    described = describe_jointly({"x": found, "y": other}, ["a", "c"])
    assert described["setting"] == str(one)
    assert described["left out"] == {"a": str(two), "c": str(one)}
    assert described["not clearly worse"] == {}


def test_one_set_leaves_nothing_to_choose_by(grid):
    one, two, found = grid
    alone = Grid({"a": found.values["a"]})
    assert alone.leave_one_out() == {}
    assert np.isnan(alone.held_out({}))


@pytest.mark.data
@pytest.mark.models
def test_shares_are_chosen_on_train_queries(run):
    result = run("words")
    assert result["split"] == "train"
    assert list(result["ensembles"]) == [MINILM, f"{MINILM}+{WORDLLAMA}"]
    for found in result["ensembles"].values():
        assert 0 < found["constant"]["nDCG@10"] <= 1
        assert found["chosen together"]["nDCG@10"] == max(
            v for row in found["by saturation"].values() for v in row.values()
        )
        gain = found["by variance"]["gain over constant"]
        assert gain["low"] <= gain["mean"] <= gain["high"]
        assert set(found["left out"]) == set(result["sets"]) == {"metatool", "qasper_dev_evidence"}
        for held in found["left out"].values():
            assert held["nDCG@10"] <= held["of its own best"]
    assert set(result["jointly"]["left out"]) == set(result["sets"])
    chosen, *grids = (t for t in OWN_TABLES["words"](result) if t.name != "alike")
    assert len(chosen.rows) == 2
    assert len(grids) == 4
