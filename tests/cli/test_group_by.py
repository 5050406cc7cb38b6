"""Documents that were split, found by their pieces."""

import json
import re

from tests.cli.conftest import WORDS


def test_each_document_once(uec, models, tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for i in range(4):
        parts = [f"## part {j}\n\n" + " ".join(WORDS[(i + j) % 14 :]) * 3 for j in range(12)]
        (folder / f"d{i}.md").write_text(f"# Document {i}\n\n" + "\n\n".join(parts))
    index = tmp_path / "idx"
    made = uec("index", "--index", index, "--corpus", folder, "--expert", f"one={models['bert']}")
    assert made.code == 0
    searched = ("search", "--index", index, "-k", "4")
    pieces = json.loads(uec(*searched, "--json", "flow heat").out)["hits"]
    assert all(re.fullmatch(r"d\d\.md#\d{4}", hit["id"]) for hit in pieces)
    hits = json.loads(uec(*searched, "--json", "--group-by", "document", "flow heat").out)["hits"]
    assert sorted(hit["metadata"]["document_id"] for hit in hits) == [f"d{i}.md" for i in range(4)]
    assert hits[0] == pieces[0]
    queries = tmp_path / "q.jsonl"
    queries.write_text('{"_id": "q1", "text": "flow heat"}\n')
    run = tmp_path / "out.trec"
    assert uec(*searched, "--queries", queries, "--run", run, "--group-by", "document").code == 0
    assert sorted(line.split()[2] for line in run.read_text().splitlines()) == [f"d{i}.md" for i in range(4)]
    assert uec("search", "--index", index, "--group-by", "piece", "x").code == 2
