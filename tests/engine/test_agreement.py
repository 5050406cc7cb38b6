"""One policy for an index that is there, one report of what is poor about a calibration, and indexes of 0.1.0."""

import base64
import functools
import json
from pathlib import Path

import numpy as np
import pytest

from tests.engine.small import far_pairs, pairs, sentences, static_model, telling
from uec_retriever.confidence.odds import LEAST
from uec_retriever.data.pairs import STANDARD_LIBRARY, CalibrationPairs
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.location import Location
from uec_retriever.engine.recipe import Recipe
from uec_retriever.errors import InvalidInputError, ModelMismatchError
from uec_retriever.experts import fitting
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fitting import fit_posterior
from uec_retriever.laplace.files import save_posterior
from uec_retriever.store.connection import connect

TEXTS = telling(40)


def few_pairs():
    whole = pairs()
    return CalibrationPairs(whole.queries[:20], whole.positives[:20])


def test_a_script_that_gives_the_same_pairs_and_posteriors_can_be_run_again(experts, fitted, tmp_path):
    recipe = Recipe(pairs(), {"static": fitted["static"]}, "kron", "block")
    first = Engine.from_texts(TEXTS[:20], experts("static"), tmp_path / "index", recipe)
    again = Engine.from_texts(TEXTS, experts("static"), tmp_path / "index", recipe)
    assert again.count() == 40
    assert again.manifest == first.manifest
    by_file = Recipe(pairs(), [fitted["static"]])
    assert Engine.open_or_create(tmp_path / "index", experts("static"), by_file).count() == 40


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (lambda files: Recipe(far_pairs()), "calibrated on other pairs .*Engine.recalibrate"),
        (lambda files: Recipe(posteriors={"static": files["other"]}), "made otherwise than posterior"),
        (lambda files: Recipe(posteriors=[files["other"]]), "made otherwise than posterior"),
        (lambda files: Recipe(posteriors=["nowhere"]), "no posterior file at nowhere"),
        (lambda files: Recipe(structure="diag", layout="sum"), "structure diag and layout sum.*uec reindex"),
    ],
)
def test_what_the_index_was_not_made_with_is_refused(make, fitted, recipe, message):
    engine = make("static", posteriors={"static": fitted["static"]})
    with pytest.raises(InvalidInputError, match=message):
        Engine.from_texts(TEXTS, location=engine._folder.path, recipe=recipe(fitted))
    assert engine.count() == 0


def test_recalibration_makes_the_pairs_those_of_the_index(make):
    engine = make("static")
    engine.recalibrate(far_pairs())
    path = engine._folder.path
    assert Engine.open_or_create(path, recipe=Recipe(far_pairs())).manifest == engine.manifest
    with pytest.raises(InvalidInputError, match="other pairs"):
        Engine.open_or_create(path, recipe=Recipe(pairs()))


def test_posterior_files_find_their_experts(experts, fitted, tmp_path):
    recipe = Recipe(pairs(), [fitted["bert"], fitted["static"]])
    engine = Engine.create(tmp_path / "index", experts("static", "bert"), recipe)
    assert [e.label for e in engine.experts] == ["static", "bert"]
    with pytest.raises(ModelMismatchError, match="none of the experts.*uec fit"):
        Engine.create(tmp_path / "other", experts("static"), Recipe(pairs(), [fitted["bert"]]))


def test_too_few_pairs_to_hold_any_out_are_reported_and_kept(make, reopen, tmp_path):
    engine = make("static", calibration=few_pairs())
    assert engine.manifest.heldout is False
    [note] = engine.manifest.notes
    assert "none could be held out" in note and "at least 32" in note
    assert reopen(tmp_path / "index").manifest.notes == [note]
    assert engine.recalibrate(few_pairs()).notes == [note]
    assert engine.recalibrate(far_pairs()).notes == []
    assert make("static", folder="enough").manifest.notes == []


def test_a_corpus_too_small_to_calibrate_on_is_reported_and_kept(experts, reopen, tmp_path, caplog):
    engine = Engine.from_texts(TEXTS[:3], experts("static"), tmp_path / "index")
    notes = engine.manifest.notes  # the tiny model knows few words of it, so that its pairs say nothing
    assert STANDARD_LIBRARY in notes[0] and "recalibrate" in notes[0]
    assert len(notes) == 2 and not engine.manifest.informative
    assert all(note in caplog.text for note in notes)
    assert reopen(tmp_path / "index").manifest.notes == notes


def test_an_earlier_fit_under_another_tau_is_not_taken_for_ones_own(experts, tmp_path):
    [expert] = experts("static")
    fit = fit_posterior(expert, pairs(), tau=0.5)
    folder = tmp_path / "index" / "posteriors"
    folder.mkdir(parents=True)
    save_posterior(folder / "left.safetensors", fit.expert.posterior, fit.header)
    engine = Engine.create(tmp_path / "index", [expert], pairs())
    assert engine.experts[0].posterior.tau == pytest.approx(0.05)
    assert len(list(folder.iterdir())) == 2


def test_a_query_that_is_cut_says_by_whom(make):
    engine = make("static", "bert")
    engine.add(TEXTS)
    long, short = " ".join(["wing"] * 200), "wing heat"
    results = engine.search_batch([short, long, short])
    assert [r.truncated for r in results] == [(), ("bert",), ()]
    assert engine.search_together([short, long]).truncated == ("bert",)
    assert engine.search(short).truncated == ()


def test_every_search_tells_where_its_time_went(make):
    engine = make("bert")
    engine.add(TEXTS)
    for result in (engine.search("cat"), engine.search_together(["cat", "dog"])):
        assert set(result.seconds) == {"encode", "query", "rescore"}
        assert min(result.seconds.values()) > 0


def test_eight_experts_whose_variances_take_long_strings(tmp_path):
    """Eight `diag` bases of up to 16 vectors: more than the 1,000 characters that Chroma keeps well."""
    experts = [
        Expert.load(static_model(tmp_path / f"model{i}", i), label=f"e{i}", device="cpu") for i in range(8)
    ]
    engine = Engine.create(tmp_path / "index", experts, Recipe(pairs(120), structure="diag"))
    engine.add(TEXTS)
    raw = engine.store.collection.get(include=["metadatas"])["metadatas"]
    assert engine.ensemble.codec.rank > 93
    assert max(len(str(value)) for metadata in raw for value in metadata.values()) < 1000
    result = engine.search(TEXTS[0], 20)
    again = engine.rescore(TEXTS[0], [hit.text for hit in result])
    np.testing.assert_allclose(again.raw_scores, [h.raw_score for h in result], atol=1e-5)
    np.testing.assert_allclose(again.deviations**2, [h.deviation**2 for h in result], atol=1e-5)


def test_a_basis_that_misses_its_tolerance_is_reported(make, monkeypatch, caplog):
    narrow = functools.partial(fitting.variance_basis, maximum_rank=2)  # this model's variances need eight
    monkeypatch.setattr(fitting, "variance_basis", narrow)
    engine = make("static", structure="diag")
    [entry] = engine.manifest.experts
    assert entry.basis_error > 0.01
    [note] = engine.manifest.notes
    assert f"{entry.basis_error:.0%}" in note and "'static'" in note
    assert note in caplog.text
    [file] = (engine._folder.path / "posteriors").iterdir()
    for other in (make("static", folder="given", posteriors=[file]), resumed(make, file)):
        assert other.manifest.experts[0].basis_error == pytest.approx(entry.basis_error, rel=0.01)


def resumed(make, fitted):
    """An index whose making was interrupted after its expert had been fitted."""
    engine = make("static", folder="resumed", posteriors=[fitted])
    engine.store.client.delete_collection("uec")
    return make("static", folder="resumed", structure="diag")


def test_more_candidates_than_the_search_is_wide(make):
    """200 is how far Chroma looks by itself; more must be found all the same, exactly."""
    engine = make("static", structure="diag")
    texts = list(dict.fromkeys(sentences(700, seed=8)))
    engine.add(texts, ids=[str(i) for i in range(len(texts))])
    found = engine.search("wing heat pressure", len(texts), candidates=len(texts))
    assert len(found) == len(texts)
    naive = engine.rescore("wing heat pressure", texts)
    np.testing.assert_allclose(
        [h.raw_score for h in found], [naive.raw_scores[int(h.id)] for h in found], atol=1e-5
    )
    assert [h.raw_score for h in found] == sorted((h.raw_score for h in found), reverse=True)


def test_filters_reach_over_pages(make):
    engine = make("static")
    count = 2300
    texts = [f"{text} n{i % 10}" for i, text in enumerate(sentences(count, seed=9))]
    engine.add(texts, ids=[f"{i:05}" for i in range(count)], metadatas=[{"n": i % 3} for i in range(count)])
    found = engine.get(where={"n": 1})
    assert [r.id for r in found] == [f"{i:05}" for i in range(1, count, 3)]
    assert engine.ids({"n": 1}) == [r.id for r in found]


@pytest.fixture
def old_index(tmp_path):
    """An index as version 0.1.0 wrote it: recalibrated, with a confidence; its models are made anew."""
    old = json.loads(Path(__file__).with_name("index_0_1_0.json").read_text(encoding="utf-8"))
    folder = tmp_path / "old"
    (folder / "posteriors").mkdir(parents=True)
    (folder / "chroma").mkdir()
    for name, data in old["posteriors"].items():
        (folder / "posteriors" / name).write_bytes(base64.b64decode(data))
    collection = connect(folder / "chroma").create_collection(
        "uec",
        embedding_function=None,
        metadata=old["collection"],
        configuration={"hnsw": {"space": "ip", "ef_search": 200}},
    )
    collection.add(
        ids=[r["id"] for r in old["records"]],
        documents=[r["text"] for r in old["records"]],
        metadatas=[r["metadata"] for r in old["records"]],
        embeddings=np.stack([np.frombuffer(base64.b64decode(r["embedding"]), "<f4") for r in old["records"]]),
    )
    models = {name: static_model(tmp_path / name, seed) for seed, name in enumerate(("static", "other"))}
    return Location(folder), models, old


def test_an_index_of_version_0_1_0_opens_and_answers_as_it_did(old_index):
    location, models, old = old_index
    engine = Engine.open(location, experts=models, device="cpu")
    assert engine.manifest.generation == 0 and engine.manifest.notes == []
    for expected in old["answers"]:
        result = engine.search(expected["query"], 4)
        assert [h.id for h in result] == [i for i, _, _ in expected["hits"]]
        np.testing.assert_allclose(
            [(h.raw_score, h.deviation) for h in result], [h[1:] for h in expected["hits"]], atol=2e-5
        )
        told = min(max(expected["confidence"], LEAST), 1 - LEAST)  # 0.1.0 had no bounds
        assert result.confidence == pytest.approx(told, abs=1e-4)


def test_an_index_of_version_0_1_0_can_be_changed(old_index, caplog):
    location, models, old = old_index
    engine = Engine.open(location, experts=models, device="cpu")
    records = old["records"]
    texts, ids = [r["text"] for r in records], [r["id"] for r in records]
    assert engine.add(texts, ids, [{"n": r["metadata"]["n"]} for r in records]).unchanged == 40
    assert engine.add(["new wing"]).added == 1
    given = [Expert.load(models[label], label=label, device="cpu") for label in ("static", "other")]
    assert Engine.open_or_create(location, given, Recipe(far_pairs())).count() == 41
    assert "does not tell on which pairs" in caplog.text
    assert engine.recalibrate(far_pairs()).generation == 1
    assert engine.delete(ids) == 40


def test_pairs_alone_are_a_recipe_and_anything_else_is_refused(experts, tmp_path):
    engine = Engine.from_texts(TEXTS, experts("static"), tmp_path / "index", pairs())
    assert engine.manifest.pairs_digest == pairs().digest
    with pytest.raises(InvalidInputError, match="recipe is a str"):
        Engine.open_or_create(tmp_path / "index", recipe="kron")


def test_only_held_out_pairs_judge_what_the_rest_was_fitted_on(make, encoded):
    engine = make("static")
    texts = encoded(engine)
    manifest = engine.recalibrate(pairs())
    held = pairs().split()[1]
    assert sorted(texts) == sorted([*held.queries, *held.positives])
    assert manifest.reference.startswith(f"{len(held)} pairs") and manifest.heldout
