"""The whole table, on fakes."""

import json

import pytest

from tests.evaluation.fakes import Bags, EchoJudge, write_collection
from uec_retriever.errors import CorpusError, InvalidInputError
from uec_retriever.evaluation.answers import Answerer
from uec_retriever.evaluation.collection import load_collection
from uec_retriever.evaluation.rankers import LikelihoodScorer
from uec_retriever.evaluation.report import provenance, table
from uec_retriever.evaluation.study import StudyOptions, run_study


@pytest.fixture
def collection(tmp_path):
    return load_collection(write_collection(tmp_path / "toy"), "test")


@pytest.fixture
def systems():
    """One that sees animals only, and one that sees colours."""
    return {"base": Bags(red=0.01, green=0.01, blue=0.01), "uae": Bags()}


def test_every_system_stands_in_every_scope(collection, systems):
    judge = EchoJudge()
    told = []
    result = run_study(
        collection,
        systems,
        StudyOptions(rerank_depth=3, answers=3, compose="uae"),
        rerankers={"LLM": LikelihoodScorer(judge)},
        answerer=Answerer(judge),
        progress=lambda *seen: told.append(seen),
    )
    assert list(result["scopes"]) == ["corpus", "group"]
    rows = result["scopes"]["group"]
    assert list(rows) == ["base", "uae", "base + LLM", "uae + LLM", "uae + LLM, blended"]
    for row in rows.values():
        for metric in ("Recall@1", "MAP", "nDCG@10", "Token F1"):
            cell = row[metric]
            assert 0 <= cell["low"] <= cell["mean"] <= cell["high"] <= 1
        assert row["Token F1"]["n"] == 2
        assert row["milliseconds"] > 0
    assert rows["base"]["MAP"]["difference"] == {"mean": 0, "low": 0, "high": 0}
    assert rows["uae + LLM"]["milliseconds"] > rows["uae"]["milliseconds"]
    assert ("uae + LLM (group)", 3, 3) in told
    columns, lines = table(result, "group")
    assert columns == ["system", "Hit@1", "Recall@1", "MAP", "nDCG@10", "Token F1", "ms per query"]
    assert [line[0] for line in lines] == list(rows)
    json.dumps(result, allow_nan=False)


def test_relative_and_paired_differences(collection, systems):
    rows = run_study(collection, systems, StudyOptions(scopes=("corpus",)))["scopes"]["corpus"]
    base, ours = rows["base"]["MAP"], rows["uae"]["MAP"]
    assert ours["relative"] == pytest.approx(ours["mean"] / base["mean"] - 1)
    assert ours["difference"]["mean"] == pytest.approx(ours["mean"] - base["mean"])
    assert "Token F1" not in rows["uae"]


def test_without_groups_there_is_the_corpus_only(collection, systems):
    from dataclasses import replace

    plain = replace(collection, groups=[None] * 6)
    assert list(run_study(plain, systems)["scopes"]) == ["corpus"]
    with pytest.raises(CorpusError, match="group"):
        run_study(plain, systems, StudyOptions(scopes=("group",)))


def test_options_that_do_not_fit(collection, systems):
    with pytest.raises(InvalidInputError, match="at least one model"):
        run_study(collection, {})
    with pytest.raises(InvalidInputError, match="'other'"):
        run_study(collection, systems, StudyOptions(compose="other"))
    with pytest.raises(InvalidInputError, match="rerank_depth"):
        StudyOptions(rerank_depth=1)
    with pytest.raises(InvalidInputError, match="scopes are"):
        StudyOptions(scopes=("paper",))


def test_provenance_names_command_versions_and_seed():
    found = provenance(3)
    assert {"command", "commit", "versions", "cpus", "seed"} == set(found)
    assert found["seed"] == 3
    assert "torch" in found["versions"]
