"""Result files: what is refused, and that the refusal names file and place."""

import copy
import json

import pytest

from tests.evaluation import made_up_results as made_up
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.report_page import check_result, read_results
from uec_retriever.evaluation.report_page.evidence import failures

SMALL = made_up.retrieval(queries=20, sets=("covidqa", "cranfield"))
CELL = ("sets", "covidqa", "methods", "UEC kron", "metrics", "nDCG@10")


@pytest.mark.parametrize("name", made_up.ALL)
def test_each_kind_is_known(name):
    found = check_result(made_up.ALL[name](), f"{name}.json")
    assert found.kind == name


def test_uae_results_of_the_command_and_of_the_benchmark():
    alone = check_result({**made_up.provenance("uae"), **made_up.study()}, "uae.json")
    [(title, study)] = alone.studies
    assert (title, list(study["scopes"])) == ("qasper_dev_evidence", ["corpus", "group"])
    assert [t for t, _ in check_result(made_up.uae(), "x").studies] == ["qasper_dev_evidence, judge SmolLM2"]


def changed(path, value=None):
    content = copy.deepcopy(SMALL)
    *way, last = path
    place = content
    for key in way:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("kind",), None, "it lacks 'kind'"),
        (("kind",), "poetry", "'poetry'"),
        (("command",), None, "it lacks 'command'"),
        (("seed",), None, "it lacks 'seed'"),
        (("sets",), None, "it lacks 'sets'"),
        (("sets",), {}, "sets is empty"),
        (("sets", "covidqa", "methods"), None, "sets: covidqa lacks 'methods'"),
        (("sets", "covidqa", "methods"), ["a"], "covidqa: methods is not an object"),
        (CELL, None, "UEC kron: metrics lacks 'nDCG@10'"),
        ((*CELL, "low"), None, "nDCG@10 lacks 'low'"),
        ((*CELL, "mean"), float("nan"), "nDCG@10: mean is not a number but 'nan'"),
        ((*CELL, "difference"), {"mean": 0}, "difference lacks 'low'"),
        ((*CELL[:4], "coefficients", "tools"), "much", "tools is not a number but 'much'"),
        (("sets", "covidqa", "stages", "scores"), [1], "stages: scores is not a number"),
        (
            ("sets", "covidqa", "abstention", "uniform", "curve", "coverage"),
            [0.5],
            "as many values as coverage",
        ),
        (("mean", "uniform", "nDCG@10"), {"mean": 1}, "nDCG@10 lacks 'low'"),
        (("tables",), [{"name": "a", "title": "b", "columns": ["x"], "rows": [[1, 2]]}], "has not 1 entries"),
    ],
)
def test_what_is_missing_is_named(path, value, words):
    with pytest.raises(InvalidInputError) as refusal:
        check_result(changed(path, value), "some.json")
    assert str(refusal.value).startswith("some.json is no result")
    assert words in str(refusal.value)


def test_curves_have_as_many_points_as_places():
    content = made_up.scaling()
    content["curves"][0]["panels"]["K, experts"]["lines"]["dot product"] = [1.0]
    with pytest.raises(InvalidInputError, match="dot product has not as many values as x"):
        check_result(content, "x")
    content = made_up.calibration()
    content["curves"][0]["panels"]["cosine"]["counts"].pop()
    with pytest.raises(InvalidInputError, match="cosine: counts has not as many values as x"):
        check_result(content, "x")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InvalidInputError, match=r"cannot read .*none\.json"):
        read_results([tmp_path / "none.json"])
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(InvalidInputError, match=r"cannot read .*broken\.json: not JSON"):
        read_results([broken])
    broken.write_text("[1, 2]")
    with pytest.raises(InvalidInputError, match=r"broken\.json .* is not an object"):
        read_results([broken])
    broken.write_text(json.dumps(SMALL))
    [found] = read_results([broken])
    assert found.content == SMALL


FAILURE = {
    "query": "what flow",
    "confidence": 0.9,
    "verdict": "likely in here",
    "why": "it is not there",
    "returned": {"id": "d1", "score": 0.8, "relevance": None, "matched": ["flow"], "text": "a flow"},
    "right": None,
}
CELLS = {"mean": 0.5, "low": 0.4, "high": 0.6}


def own_parts(cell=CELLS, band=(0.1, 0.2), failure=FAILURE):
    """A result that brings a cell with its interval, a curve with its band, and a failure."""
    panel = {"x": [1, 2], "lines": {"a": [3, 4]}, "bands": {"a": {"low": list(band), "high": [5, 6]}}}
    content = made_up.measurements()
    content["tables"][0]["rows"].append([5, 6, cell])
    content["curves"] = [{"name": "c", "title": "C", "y": "y", "panels": {"p": panel}}]
    return {**content, "failures": [failure]}


def test_intervals_and_failures_of_a_result_are_known():
    assert check_result(own_parts(), "x").kind == "tables"


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"cell": {"mean": 0.5, "low": 0.4}}, "rows: 2: 2 lacks 'high'"),
        ({"band": [0.1]}, "bands: a: low has not as many values as x"),
        ({"failure": {**FAILURE, "confidence": "high"}}, "failures: 0: confidence is not a number"),
        ({"failure": {k: v for k, v in FAILURE.items() if k != "right"}}, "failures: 0 lacks 'right'"),
        ({"failure": {**FAILURE, "right": {"id": "d2"}}}, "right lacks 'text'"),
    ],
)
def test_what_intervals_and_failures_lack_is_said(parts, words):
    with pytest.raises(InvalidInputError) as caught:
        check_result(own_parts(**parts), "x")
    assert words in str(caught.value)


def test_a_failure_is_told_without_what_is_not_known():
    [told] = failures(check_result(own_parts(), "x"))
    assert told.query == "what flow"
    assert dict(told.facts) == {
        "confidence": "90%, likely in here",
        "why": "it is not there",
        "came first": "d1, score 0.800",
        "in common": "flow",
        "text": "a flow",
    }
