"""`--expert openai:MODEL@URL` on the command line."""

import json

import pytest

from tests.cli.conftest import refused, write_corpus
from tests.embeddings_server import EmbeddingServer
from uec_retriever.experts.fingerprint import PROBES

KEY = "sk-never-to-be-seen-4711"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with EmbeddingServer(key=KEY) as server:
        yield server


def test_index_search_and_reindex(uec, server, tmp_path):
    corpus = write_corpus(tmp_path / "corpus.jsonl", 60)
    cost = json.loads(uec("index", "-i", tmp_path / "idx", "--corpus", corpus, "--dry-run", "--json").out)
    assert (cost["texts"], cost["unchanged"], server.embedded.total()) == (60, 0, 0)
    assert cost["tokens"] == pytest.approx(cost["characters"] / 4, abs=1)
    made = uec(
        "index", "-i", tmp_path / "idx", "--corpus", corpus, "--expert", f"openai:tiny@{server.url}", "--json"
    )
    assert made.code == 0, made.err
    assert json.loads(made.out)["added"] == 60
    cost = uec("index", "-i", tmp_path / "idx", "--corpus", corpus, "--dry-run")
    assert "0 texts to embed, 60 unchanged" in " ".join(cost.out.split())
    other = write_corpus(tmp_path / "other.jsonl", 60)
    lines = [json.loads(line) for line in other.read_text().splitlines()]
    lines[3]["text"] += " And more of it."
    other.write_text("".join(json.dumps(line) + "\n" for line in lines))
    cost = uec("index", "-i", tmp_path / "idx", "--corpus", other, "--dry-run")
    assert "1 texts to embed, 1 of them changed, which would replace others, 59 unch" in " ".join(
        cost.out.split()
    )
    found = json.loads(uec("search", "-i", tmp_path / "idx", "the flow of heat", "--json").out)
    assert found["hits"]
    again = uec("reindex", "-i", tmp_path / "idx", "--to", tmp_path / "new", "--structure", "diag", "--json")
    assert json.loads(again.out)["added"] == 60, again.err
    assert {text for text, times in server.embedded.items() if times > 1} <= {*PROBES}
    assert KEY.encode() not in b"".join(f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())


@pytest.mark.parametrize(
    ("expert", "key", "told"),
    [
        ("openai:tiny", KEY + "x", "OPENAI_API_KEY"),
        ("openai:other", KEY, "404"),
    ],
)
def test_refusals_name_the_fix_and_no_key(uec, server, tmp_path, monkeypatch, expert, key, told):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    corpus = write_corpus(tmp_path / "corpus.jsonl", 60)
    outcome = uec("index", "-i", tmp_path / "idx", "--corpus", corpus, "--expert", f"{expert}@{server.url}")
    refused(outcome, expert, server.url, told)
    assert KEY not in outcome.err + outcome.out


def test_a_server_that_is_down(uec, server, tmp_path):
    corpus = write_corpus(tmp_path / "corpus.jsonl", 60)
    url = server.url
    server.stop()
    outcome = uec("index", "-i", tmp_path / "idx", "--corpus", corpus, "--expert", f"openai:tiny@{url}")
    refused(outcome, "cannot reach the server")
