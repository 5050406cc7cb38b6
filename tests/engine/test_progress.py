"""Bars of an engine: one for each kind of work, and each comes to its end."""

import pytest
import tqdm.auto

from tests.engine.small import far_pairs, load, pairs, sentences, static_model
from uec_retriever import Engine, Recipe, pseudo_pairs
from uec_retriever.errors import InvalidInputError

TEXTS = sentences(40, seed=1)


@pytest.fixture
def bars(monkeypatch):
    made, real = [], tqdm.auto.tqdm

    class Bar(real):
        def __init__(self, **options):
            self.asked = options["total"]
            super().__init__(**options)
            made.append(self)

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    return made


def seen(bars):
    """What each bar said, of how much, and how far it came."""
    return [(bar.desc, bar.asked, bar.n) for bar in bars]


@pytest.fixture
def experts(tmp_path):
    return load({"a": static_model(tmp_path / "a", 0), "b": static_model(tmp_path / "b", 1)})


def test_making_adding_and_calibrating(experts, tmp_path, bars, capfd):
    recipe, work, again = Recipe(pairs()), 4 * len(pairs()), 4 * len(far_pairs())
    with Engine.from_texts(TEXTS, experts, tmp_path / "i", recipe, progress=True) as engine:
        assert seen(bars) == [("Fitting experts", work, work), ("Embedding texts", 40, 40)]
        bars.clear()
        engine.add(sentences(5, seed=2), progress=True)
        engine.recalibrate(far_pairs(), progress=True)
        engine.use_words(progress=True)
        engine.index_words(progress=True)
        assert [bar.desc for bar in bars] == [
            "Embedding texts",
            "Calibrating experts",
            "Indexing words",
            "Indexing words",
        ]
        assert seen(bars)[:2] == [("Embedding texts", 5, 5), ("Calibrating experts", again, again)]
        bars.clear()
        labelled = {" ".join(r.text.split()[:3]): {r.id} for r in engine.get()}
        engine.calibrate_coverage(labelled, progress=True)
        engine.recalibrate_share(labelled, progress=True)
        assert seen(bars) == [("Searching", len(labelled), len(labelled))] * 2
        bars.clear()
        target = Engine.create(tmp_path / "other", experts, Recipe(pseudo_pairs(TEXTS)))
        with target:
            engine.copy_to(target, progress=True)
        assert seen(bars) == [("Embedding texts", 45, 45)]
    assert capfd.readouterr().err == ""  # nothing took two seconds


def test_what_was_fitted_before_is_no_lack(experts, tmp_path, bars):
    with Engine.create(tmp_path / "i", experts, pairs()) as engine:
        posteriors = {e.label: engine._folder.posterior_file(e.posterior) for e in engine.manifest.experts}
    recipe = Recipe(pairs(), posteriors)
    Engine.create(tmp_path / "j", experts, recipe, progress=True).close()
    held = 2 * 2 * len(pairs().split()[1])
    assert seen(bars) == [("Fitting experts", held, held)]


def test_a_function_is_told_as_before(experts, tmp_path, bars):
    told = []
    Engine.from_texts(TEXTS, experts, tmp_path / "i", Recipe(pairs()), progress=told.append).close()
    assert sum(told) == pytest.approx(2 * 2 * len(pairs()) + len(TEXTS))
    assert not bars


def test_what_cannot_watch_is_refused_before_anything_is_made(experts, tmp_path):
    with pytest.raises(InvalidInputError, match="progress is True"):
        Engine.create(tmp_path / "i", experts, pairs(), progress="yes")
    assert not Engine.exists(tmp_path / "i")
