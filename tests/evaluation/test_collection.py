"""Collections: what a query may not find, passages without text, one corpus out of several."""

from dataclasses import replace

import pytest

from tests.evaluation.fakes import write_collection
from uec_retriever.errors import CorpusError
from uec_retriever.evaluation.collection import load_collection, merge_collections, with_queries


@pytest.fixture
def folder(tmp_path):
    return write_collection(tmp_path / "toy")


def test_a_folder_without_queries_is_told_before_its_corpus_is_read(tmp_path):
    (tmp_path / "corpus.jsonl").write_text("broken")
    with pytest.raises(CorpusError, match="is no BEIR folder of queries: put a queries.jsonl there"):
        load_collection(tmp_path, "test")


def test_excluded_passages_are_read(folder):
    (folder / "exclude.tsv").write_text("q1\tp5\nq1\tp4\nq9\tp0\n")
    found = load_collection(folder, "test")
    assert [set(q.excluded) for q in found.queries] == [set(), {"p4", "p5"}, set()]
    (folder / "exclude.tsv").write_text("q1 p5\n")
    with pytest.raises(CorpusError, match="line 1: not query-id and corpus-id"):
        load_collection(folder, "test")


def test_titles_are_kept_apart(folder):
    lines = (folder / "corpus.jsonl").read_text().splitlines()
    lines[0] = '{"_id": "p0", "title": "red", "text": "red cat"}'
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    found = load_collection(folder, "test")
    assert (found.texts[0], found.titles[0], found.bodies[0]) == ("red cat", "red", "cat")
    assert found.bodies[1] == found.texts[1]
    assert replace(found, titles=()).bodies == list(found.texts)


def test_a_judged_passage_without_text_counts_as_never_found(folder):
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "p6", "title": "", "text": " "}\n')
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write("q2\tp6\t1\n")
    found = load_collection(folder, "test")
    assert "p6" not in found.ids
    assert found.queries[2].relevance == {"p2": 1, "p6": 1}
    assert found.shorten(3).ids == ["p0", "p1", "p2", "p3", "p4"]  # all that is relevant stays


def test_a_merged_corpus_keeps_sets_apart(folder, tmp_path):
    (folder / "exclude.tsv").write_text("q1\tp5\n")
    one = load_collection(folder, "test")
    two = load_collection(write_collection(tmp_path / "more"), "test")
    whole = merge_collections([one, two])
    assert (len(whole.ids), len(whole.queries), whole.domains) == (12, 6, ["toy", "more"])
    query = whole.queries[1]
    assert (query.id, query.domain, query.group) == ("toy/q1", "toy", "toy/b")
    assert query.relevance == {"toy/p3": 2, "toy/p4": 1}
    assert query.excluded == {"toy/p5"}
    assert whole.pool(query, "group") == [3, 4, 5]
    assert whole.texts[whole.positions["more/p2"]] == two.texts[2]
    left, right = whole.by_domain()
    assert (left.name, right.domains) == ("toy in merged", ["more"])
    assert left.ids is right.ids is whole.ids
    fewer = with_queries(whole, [two.sample(1, 0)])
    assert [q.domain for q in fewer.queries] == ["more"]
    with pytest.raises(CorpusError, match="names of their own"):
        merge_collections([one, one])
    with pytest.raises(CorpusError, match="merge its corpus too"):
        with_queries(whole, [replace(one, name="third")])
