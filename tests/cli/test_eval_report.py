"""`uec eval report` from the command line."""

import json

import pytest

from tests.cli.conftest import refused
from tests.evaluation import made_up_results as made_up


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "scaling.json"
    path.write_text(json.dumps(made_up.measurements()))
    return path


def test_a_page_in_a_folder(uec, file, tmp_path):
    pytest.importorskip("jinja2")
    outcome = uec("eval", "report", file, "--out", tmp_path / "out", "--title", "Sizes")
    assert outcome.code == 0, outcome.err
    assert str(tmp_path / "out" / "report.html") in outcome.out
    assert "<h1>Sizes</h1>" in (tmp_path / "out" / "report.html").read_text()
    outcome = uec("eval", "report", file, "--out", tmp_path / "out", "--json")
    assert json.loads(outcome.out) == {"page": str(tmp_path / "out" / "report.html"), "figures": []}


def test_foreign_files_are_named(uec, file, tmp_path):
    foreign = tmp_path / "foreign.json"
    foreign.write_text('{"rows": []}')
    refused(uec("eval", "report", file, foreign, "--out", tmp_path / "out"), "foreign.json", "lacks 'kind'")
    assert not (tmp_path / "out").exists()
    refused(uec("eval", "report", tmp_path / "none.json", "--out", tmp_path / "out"), "there is no", code=2)
