"""Words as an expert of an index: what they find, how they are kept, and what becomes of strange queries."""

import logging
import os
import shutil

import numpy as np
import pytest

from tests.engine.small import pairs, sentences
from uec_retriever import Engine, LexicalOptions, Recipe
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import InvalidInputError
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.lexical.index import LexicalIndex

TEXTS = list(dict.fromkeys(sentences(300, 21)))
SHARE = LexicalOptions().share
CODE = "ERR_0x80070005"


@pytest.fixture
def engine(make):
    with make("static", "bert") as made:
        made.add(
            [*TEXTS, f"the pump failed with {CODE}"],
            ids=[*map(str, range(len(TEXTS))), "code"],
            metadatas=[
                *({"n": i, "rare": i % 100 == 7} for i in range(len(TEXTS))),
                {"n": -1, "rare": False},
            ],
        )
        yield made


def words_file(engine):
    [file] = (engine._folder.path / "words").glob("*.sqlite3")
    return file


def test_words_find_what_the_dense_experts_do_not(engine):
    query = f"{CODE}?"
    far = engine.store.query(engine.embed_queries([query]), 300)[0].records[200]
    engine.add([f"{far.text} {CODE}"], ["code"])
    dense = engine.store.query(engine.embed_queries([query]), 5)[0]
    assert "code" not in {r.id for r in dense.records}
    result = engine.search(query, 5, candidates=5)
    [hit] = [h for h in result if h.id == "code"]
    assert CODE in [hit.text[a:b] for a, b in result.matched(hit)]
    assert result.extras(hit)["matched"] == [list(span) for span in result.matched(hit)]
    engine.use_words(False)
    alone = engine.search(query, 5, candidates=5)
    assert "code" not in {h.id for h in alone}
    assert (alone.matched(alone.hits[0]), list(alone.coefficients)) == ([], ["static", "bert"])


def test_both_legs_are_the_candidates_and_each_is_scored_by_every_expert(engine):
    for query in sentences(5, 22, 4):
        few = engine.search(query, 5, candidates=5)
        everything = engine.search(query, len(TEXTS) + 1, candidates=len(TEXTS) + 1)
        scores = {h.id: (h.raw_score, h.deviation) for h in everything}
        for hit in few:
            assert scores[hit.id] == pytest.approx((hit.raw_score, hit.deviation), abs=1e-5)


@pytest.mark.parametrize(
    "where",
    [{"rare": True}, {"n": {"$lt": 40}}, {"n": {"$gte": 1}}, {"n": 55}, {"n": {"$in": [3, 4]}}, {"n": 999}],
)
def test_filters_hold_for_what_words_find(engine, where):
    matching = {r.id for r in engine.get(where=where)}
    for query in [*sentences(4, 23, 5), f"{CODE} noise"]:
        found = {h.id for h in engine.search(query, 30, where=where, candidates=30)}
        assert found <= matching
        assert len(found) == min(30, len(matching))
        everything = engine.search(query, len(TEXTS) + 1, where=where, candidates=len(TEXTS) + 1)
        assert found >= {h.id for h in everything.hits[:3]}


def test_a_text_that_one_in_many_may_be_is_found_by_its_word_alone(make):
    with make("static") as made:
        made.add(
            [f"{text} shared" for text in TEXTS] + ["shared shared needle"],
            metadatas=[{"kept": False}] * len(TEXTS) + [{"kept": True}],
        )
        assert [h.text for h in made.search("shared", 3, where={"kept": True})] == ["shared shared needle"]


@pytest.mark.parametrize(
    "query",
    [
        " ".join(f"{w}{i}" for i, w in enumerate(["wing"] * 10_000)),
        " ".join(["wing flow"] * 5_000),
        "a" * 100_000,
        "zzyzx qwertz unheard",
        "the of and",
        "?!",
        "風洞試験の結果",
        "การทดสอบ",
        "🦅",
        "C++ O'Neill e-mail@example.org getUserName v1.2.3",
    ],
    ids=[
        "long",
        "repeated",
        "one character",
        "unknown",
        "stop words",
        "punctuation",
        "Japanese",
        "Thai",
        "emoji",
        "code",
    ],
)
def test_strange_queries_get_an_answer(engine, query):
    result = engine.search(query, 10)
    assert len(result) == 10
    assert sum(result.coefficients.values()) == pytest.approx(1)
    assert all(0 <= h.score <= 1 and np.isfinite(h.deviation) for h in result)
    if query in ("the of and", "?!", "🦅"):
        assert result.coefficients["words"] == 0
        engine.use_words(False)
        assert [h.id for h in engine.search(query, 10)] == [h.id for h in result]


def test_adding_changing_and_deleting_are_followed_at_once(engine):
    engine.add(["a brand new zeppelin"], ["new"])
    assert engine.search("zeppelin", 1).hits[0].id == "new"
    engine.add(["a brand new balloon"], ["new"])
    assert engine.search("balloon", 1).hits[0].id == "new"
    assert engine.words.follower(engine.manifest.lexical).read(lambda i: i.statistics(["zeppelin"]))[2] == [0]
    engine.delete(["new"])
    assert "new" not in {h.id for h in engine.search("balloon", 50)}


def test_whatever_becomes_of_the_file_the_answers_are_the_same(engine, caplog):
    wanted = engine.search("wing heat", 20).hits
    for harm in (
        os.remove,
        lambda file: file.write_bytes(b"x" * 50_000),
        lambda file: os.truncate(file, 20_000),
    ):
        engine.words.close()
        harm(words_file(engine))
        assert engine.search("wing heat", 20).hits == wanted
    os.remove(words_file(engine))  # while it is open
    assert engine.search("wing heat", 20).hits == wanted
    assert "anew" in caplog.text


def test_a_lexical_index_that_cannot_be_read_leaves_the_dense_answer_and_a_warning(
    engine, monkeypatch, caplog
):
    monkeypatch.setattr(LexicalIndex, "search", _io_error)
    result = engine.search("wing heat", 5)
    assert "searching without words" in caplog.text
    monkeypatch.undo()
    engine.use_words(False)
    assert result.hits == engine.search("wing heat", 5).hits


def _io_error(*args, **kwargs):
    from uec_retriever.errors import StorageError

    raise StorageError("cannot read or write words: disk I/O error")


def test_an_index_made_before_opens_as_it_is_and_gets_words_without_embedding(
    make, reopen, encoded, tmp_path
):
    with make("static", lexical=False) as made:
        made.add(TEXTS[:50])
        assert made.manifest.lexical is None
        assert "words" not in made.search("wing").coefficients
    engine = reopen(tmp_path / "index")
    texts, seen = encoded(engine), []
    engine.use_words(progress=seen.append)
    assert (texts, sum(seen)) == ([], 50)
    assert engine.manifest.lexical == LexicalOptions()
    opened = reopen(tmp_path / "index")
    for each in (engine, opened):
        assert each.search("wing").coefficients["words"] == pytest.approx(SHARE)
    opened.use_words(LexicalOptions("german", share=0.2))
    assert opened.use_words().lexical == LexicalOptions("german", share=0.2)  # as they are
    assert opened.search("wing").coefficients["words"] == pytest.approx(0.2)
    engine.close()
    opened.close()


def test_words_asked_for_otherwise_than_they_are_are_refused(make, tmp_path, experts):
    with make("static") as made:
        made.add(TEXTS[:5])
    for lexical in (False, LexicalOptions("german")):
        with pytest.raises(InvalidInputError, match="otherwise than"):
            Engine.open_or_create(tmp_path / "index", experts("static"), Recipe(lexical=lexical))
    for lexical in (None, True, LexicalOptions()):
        Engine.open_or_create(tmp_path / "index", experts("static"), Recipe(lexical=lexical)).close()


def test_what_is_no_way_to_have_words_is_refused(experts, tmp_path):
    with pytest.raises(InvalidInputError, match="no stemmer for language 'klingon'.*english"):
        LexicalOptions("klingon")
    with pytest.raises(InvalidInputError, match="lexical is True, False or LexicalOptions"):
        Recipe(lexical="english")
    for bad in (
        {"k1": -1},
        {"b": 2},
        {"share": 1.5},
        {"share": "x"},
        {"temperature": -1},
        {"zero": float("nan")},
    ):
        with pytest.raises(InvalidInputError):
            LexicalOptions(**bad)
    [expert] = experts("static")
    with pytest.raises(InvalidInputError, match="'words'"):
        Engine.create(
            tmp_path / "other", [type(expert).load(expert.name, label="words", device="cpu")], pairs()
        )


def test_the_defaults_are_those_of_the_lexical_expert():
    from uec_retriever.experts.lexical import LexicalExpert, LexicalShare

    options = LexicalOptions()
    assert (options.k1, options.b) == (LexicalExpert().k1, LexicalExpert().b)
    share = LexicalShare()
    assert (options.share, options.zero, options.temperature) == (share.prior, share.zero, share.temperature)


def test_rescoring_scores_as_searching_does(engine):
    query = "wing heat pressure"
    found = engine.search(query, 20)
    scored = engine.rescore(query, [h.text for h in found])
    np.testing.assert_allclose(scored.raw_scores, [h.raw_score for h in found], atol=1e-5)
    np.testing.assert_allclose(scored.deviations, [h.deviation for h in found], atol=1e-4)
    assert scored.coefficients == pytest.approx(found.coefficients)


def test_several_texts_are_searched_with_the_mean_of_their_words(engine):
    alone = [engine.search(q, 301, candidates=301) for q in ("wing heat", "flow")]
    together = engine.search_together(["wing heat", "flow"], 301, candidates=301)
    assert together.coefficients["words"] == pytest.approx(SHARE)
    dense = [engine.search_embedding(e, 301) for e in engine.embed_queries(["wing heat", "flow"])]
    mean = {h.id: h for h in together}
    identifier = together.hits[0].id
    assert all(identifier in {h.id for h in result} for result in (*alone, *dense))
    follower, options = engine.words.follower(engine.manifest.lexical), engine.manifest.lexical
    [both], [one], [other] = (
        engine.words.encode(options, [texts]) for texts in (["wing heat", "flow"], ["wing heat"], ["flow"])
    )
    records = [mean[identifier].record]
    expected = (one.moments(records)[0] + other.moments(records)[0]) / 2
    assert both.moments(records)[0] == pytest.approx(expected)
    expected = (one.moments(records)[1] + other.moments(records)[1]) / 4
    assert both.moments(records)[1] == pytest.approx(expected)
    assert follower.analyzer == options.analyzer


def test_real_queries_move_the_share_and_few_of_them_little(make):
    with make("static") as engine:
        engine.add(
            [f"{text} key{i}" for i, text in enumerate(TEXTS)], ids=[str(i) for i in range(len(TEXTS))]
        )
        labelled = {f"where is key{i}": [str(i)] for i in range(200)}  # only words can tell
        few = engine.recalibrate_share(dict(list(labelled.items())[:10]))
        many = engine.recalibrate_share(labelled)
        assert SHARE < few.share < many.share < many.best <= 1
        assert many.share == pytest.approx(SHARE + 2 / 3 * (many.best - SHARE), abs=1e-4)
        assert many.quality["share"] >= many.quality["constant"] > many.quality["without words"]
        assert engine.manifest.lexical.share == many.share
        assert engine.search("where is key3").coefficients["words"] == pytest.approx(many.share)
        user = CalibrationPairs(
            [f"find key{i}" for i in range(20)], [f"{TEXTS[i]} key{i}" for i in range(20)], "user"
        )
        assert engine.recalibrate_share(pairs=user).queries == 20
        made = CalibrationPairs(user.queries, user.positives, "first sentences")
        for wrong in (
            {"labelled": {"x": ["gone"]}},
            {},
            {"labelled": labelled, "pairs": user},
            {"pairs": made},
        ):
            with pytest.raises(InvalidInputError):
                engine.recalibrate_share(**wrong)
        engine.use_words(False)
        with pytest.raises(InvalidInputError, match="uec words"):
            engine.recalibrate_share(labelled)


def test_confidence_is_that_of_the_fused_scores_and_goes_with_a_change_of_words(engine):
    engine.calibrate_confidence(limit=64)
    assert 0 <= engine.search(f"{TEXTS[3]}").confidence <= 1
    assert engine.search("wing", 5).confidence == pytest.approx(
        engine.search("wing", 10, candidates=90).confidence
    )
    engine.use_words(LexicalOptions(share=0.3))
    assert engine.search("wing").confidence is None


def test_a_copied_folder_keeps_its_words(engine, tmp_path, reopen, caplog):
    wanted = engine.search("wing heat", 20).hits
    engine.close()
    shutil.copytree(tmp_path / "index", tmp_path / "copy")
    with caplog.at_level(logging.INFO), reopen(tmp_path / "copy") as copy:
        assert [h.id for h in copy.search("wing heat", 20)] == [h.id for h in wanted]
    assert "indexing" not in caplog.text


def test_engines_of_other_settings_do_not_remake_each_others_words(make, caplog):
    """As one that was opened before a change of language, on a server, where it is not told."""
    with make("static") as one:
        one.add(TEXTS[:30])
        other = one.words.follower(LexicalOptions("german"))
        other.read(len)
        inode = other._path.stat().st_ino
        for _ in range(2):
            assert one.search("wing", 1).hits
            assert other.read(len) == 30
        assert other._path.stat().st_ino == inode
    assert "anew" not in caplog.text


def test_what_the_graph_does_not_reach_is_found_by_words_and_scored_as_ever(engine, monkeypatch):
    """Chroma's graph is approximate: to leave out what looks too far away for it would lose texts for good."""
    real = ChromaStore.query
    for query in sentences(10, 24, 5):
        wanted = engine.search(query, 10, candidates=60).hits
        [words] = engine.words.encode(engine.manifest.lexical, [[query]])
        for hit in (h for h in wanted if h.id in words.find(60)):

            def without(self, vectors, limit, where=None, lost=hit.id):
                [found] = real(self, vectors, limit + 1, where)
                return [found[[i for i, r in enumerate(found.records) if r.id != lost][:limit]]]

            monkeypatch.setattr(ChromaStore, "query", without)
            scores = {h.id: h.raw_score for h in engine.search(query, 10, candidates=60)}
            monkeypatch.undo()
            assert scores[hit.id] == pytest.approx(hit.raw_score, abs=1e-5)
