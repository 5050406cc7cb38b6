"""Sentence pairs as data: calibration pairs, and Spearman against scipy."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks.sts_data import similar_pairs, spearman
from benchmarks.tab_separated import read_labelled, read_pairs
from tests.evaluation.made_up import write_pairs
from uec_retriever.errors import CorpusError
from uec_retriever.evaluation.bootstrap import compare, resample


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("sts") / "toy")


def test_calibration_pairs_without_a_train_split(folder):
    test, train = (read_pairs(folder / f"{name}.tsv") for name in ("pairs", "train"))
    assert similar_pairs(test, train, 40, 0).source == "train pairs, gold above 80% of the scale"
    assert similar_pairs(test, [], 40, 0).source == "halves"
    assert similar_pairs(test, train[:2], 40, 0).source == "halves"
    assert similar_pairs(test[:1], [], 40, 0).source not in ("halves", "")


def test_spearman_is_scipys_and_resampling_is_paired():
    random = np.random.default_rng(0)
    truth = random.integers(0, 6, 60).astype(float)
    scores = np.stack([truth + random.normal(0, s, 60) for s in (0.5, 3)], axis=1)
    np.testing.assert_allclose(
        spearman(scores, truth), [spearmanr(scores[:, k], truth).statistic for k in range(2)]
    )
    draws = resample(lambda rows: spearman(scores[rows], truth[rows]), 60, 0, 500)
    values = spearman(scores, truth)
    poor = compare(values[1], draws[:, 1], values[0], draws[:, 0])
    assert poor["difference"]["high"] < 0
    good = compare(values[0], draws[:, 0], values[0], draws[:, 0])
    assert good["low"] < good["mean"] < good["high"]
    assert good["difference"] == {"mean": 0, "low": 0, "high": 0}
    error = (1 - good["mean"] ** 2) / np.sqrt(60)
    assert good["high"] - good["low"] == pytest.approx(4 * error, rel=0.6)


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(CorpusError, match="cannot read"):
        read_pairs(tmp_path / "pairs.tsv")
    (tmp_path / "pairs.tsv").write_text("1.0\ta\tb\n\nhigh\ta\tb\n")
    with pytest.raises(CorpusError, match="line 3: 'high'"):
        read_pairs(tmp_path / "pairs.tsv")
    (tmp_path / "train.tsv").write_text("label only\n")
    with pytest.raises(CorpusError, match="line 1: expected 2 columns"):
        read_labelled(tmp_path / "train.tsv")
    (tmp_path / "train.tsv").write_text("\n")
    with pytest.raises(CorpusError, match="empty"):
        read_labelled(tmp_path / "train.tsv")
