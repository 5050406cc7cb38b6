"""Indexes whose experts are on a server, or are objects: made, interrupted, reopened, told apart."""

import contextlib
import multiprocessing
import os
import pickle
import signal
import time

import numpy as np
import pytest

from tests.embeddings_server import EmbeddingServer, bag_of_words, of_model
from tests.engine.small import pairs, sentences
from uec_retriever.data.records import make_records
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.estimate import estimate
from uec_retriever.engine.location import Location
from uec_retriever.engine.recipe import Recipe
from uec_retriever.errors import EmbeddingError, InvalidInputError, ModelMismatchError, ModelNotFoundError
from uec_retriever.experts.embedding_cache import EmbeddingCache
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fingerprint import PROBES

KEY = "sk-never-to-be-seen-4711"


@pytest.fixture
def server():
    with EmbeddingServer() as server:
        yield server


def over(server, **options):
    return Expert.load(f"openai:{server.model}@{server.url}", **options)


def index(server, texts, folder, **options):
    return Engine.from_texts(texts, [over(server, **options)], folder, Recipe(pairs()))


def test_equal_to_the_model_in_this_process(loaded, tmp_path):
    model, texts = loaded["static"].model, sentences(60, 3)
    here = Expert.load(loaded["static"].name, head="identity", device="cpu", label="tiny")
    with EmbeddingServer(of_model(model)) as server:
        remote = index(server, texts, tmp_path / "remote")
        local = Engine.from_texts(texts, [here], tmp_path / "local", Recipe(pairs()))
        for query in sentences(10, 4):
            one, other = (e.search(query, k=20) for e in (remote, local))
            assert [h.id for h in one.hits] == [h.id for h in other.hits]
            np.testing.assert_allclose([h.score for h in one.hits], [h.score for h in other.hits], atol=1e-5)
            np.testing.assert_allclose(
                [h.deviation for h in one.hits], [h.deviation for h in other.hits], rtol=1e-3
            )


def test_reopened_by_name_and_probes(server, tmp_path):
    index(server, sentences(50, 3), tmp_path / "index").close()
    before = server.embedded.total()
    engine = Engine.open(tmp_path / "index")
    assert server.embedded.total() == before + 4
    [entry] = engine.manifest.experts
    assert (entry.model, entry.label, entry.options) == ("openai:tiny", "tiny", {"base_url": server.url})
    assert engine.search("wing").hits
    assert pickle.loads(pickle.dumps(engine)).search("wing").hits


def test_noise_of_a_server_is_the_same_model(server, tmp_path):
    texts = sentences(50, 3)
    index(server, texts, tmp_path / "index").close()
    server.noise = 1e-3
    engine = Engine.open(tmp_path / "index")
    assert Engine.from_texts(texts, [over(server)], tmp_path / "index").count() == engine.count() == 50


@pytest.mark.parametrize("way", ["another", "silently changed"])
def test_another_model_is_refused(server, tmp_path, way):
    index(server, sentences(50, 3), tmp_path / "index").close()
    turn = np.linalg.qr(np.random.RandomState(1).standard_normal((16, 16)))[0]

    def turned(texts):
        return bag_of_words(texts) @ turn

    given = {}
    if way == "another":
        given = {"tiny": turned}
    else:
        server.embed = turned
    with pytest.raises(ModelMismatchError, match="as 'tiny'"):
        Engine.open(tmp_path / "index", experts=given)


def test_a_server_that_is_down_is_said_to_be(server, tmp_path, monkeypatch):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    engine = index(server, sentences(50, 3), tmp_path / "index")
    server.stop()
    with pytest.raises(EmbeddingError, match=r"openai:tiny at http://127.*cannot reach the server"):
        engine.search("wing")
    with pytest.raises(EmbeddingError, match="cannot reach the server"):
        Engine.open(tmp_path / "index")


def test_a_failure_in_the_middle_loses_nothing(server, tmp_path):
    texts = sentences(700, 3)
    longest = max(map(len, (*texts, *pairs().queries, *pairs().positives, *PROBES)))
    server.longest = longest
    texts[600] += " much" * longest
    engine = Engine.create(tmp_path / "index", [over(server)], pairs())
    ids = [f"t{i}" for i in range(700)]
    with pytest.raises(EmbeddingError, match=r"record 't600'.*split or shorten it"):
        engine.add(texts, ids)
    assert engine.count() == 512
    texts[600] = "a shorter one"
    engine.add(texts, ids)
    assert engine.count() == 700
    assert {text for text, times in server.embedded.items() if times > 1} <= {*PROBES}


def _index_until_killed(url, folder):
    engine = Engine.open_or_create(folder, [Expert.load(f"openai:tiny@{url}")], Recipe(pairs()))
    engine.add(sentences(2000, 3))


@pytest.mark.parametrize("seconds", [0.3, 1.0])
def test_a_kill_loses_only_what_was_under_way(server, tmp_path, seconds):
    server.delay = 0.02
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_index_until_killed, args=(server.url, tmp_path / "index"))
    child.start()
    try:
        while server.embedded.total() < 8:
            assert child.is_alive() or child.exitcode == 0
            time.sleep(0.01)
        time.sleep(seconds)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    server.delay = 0
    _index_until_killed(server.url, tmp_path / "index")
    texts = {t: n for t, n in server.embedded.items() if t not in PROBES}
    assert max(texts.values()) <= 2
    assert sum(n > 1 for n in texts.values()) <= 4 * 32  # four requests of 32 texts


def test_nothing_is_embedded_twice_to_make_another_index(server, tmp_path):
    texts = sentences(300, 3)
    old = index(server, texts, tmp_path / "old")
    before = server.embedded.total()
    new = Engine.create(tmp_path / "new", old.keeping_experts, Recipe(pairs(), structure="diag"))
    old.copy_to(new)
    assert (new.count(), server.embedded.total()) == (300, before)
    query = texts[7]
    assert new.search(query).hits[0].text == query


def test_the_key_is_nowhere(tmp_path, monkeypatch, capsys, caplog):
    with EmbeddingServer(key=KEY) as server:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        with pytest.raises(EmbeddingError, match="OPENAI_API_KEY, which is not set"):
            index(server, sentences(50, 3), tmp_path / "index")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        engine = index(server, sentences(50, 3), tmp_path / "index")
        monkeypatch.setenv("OPENAI_API_KEY", KEY + "wrong")
        with pytest.raises(EmbeddingError) as caught:
            Engine.open(tmp_path / "index")
        shown = [str(caught.value), repr(engine.experts[0]), repr(vars(engine.experts[0])), caplog.text]
        shown += [*capsys.readouterr(), repr(engine.manifest), repr(pickle.dumps(engine))]
        given = index(server, sentences(50, 3), tmp_path / "given", api_key=KEY)
        shown += [repr(given.manifest), repr(pickle.dumps(given)), repr(given.experts[0].options)]
        engine.close()
        given.close()
        stored = b"".join(f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())
        assert KEY not in "".join(shown)
        assert KEY.encode() not in stored


def test_passwords_in_the_address_are_not_kept(server, tmp_path):
    url = server.url.replace("//", "//someone:secret@")
    engine = Engine.from_texts(
        sentences(50, 3), [Expert.load(f"openai:tiny@{url}")], tmp_path, Recipe(pairs())
    )
    assert engine.manifest.experts[0].options == {"base_url": server.url}


def test_functions_and_objects_must_be_given_again(tmp_path):
    texts = sentences(50, 3)
    Engine.from_texts(texts, [bag_of_words], tmp_path, Recipe(pairs())).close()
    with pytest.raises(
        ModelNotFoundError, match=r"bag_of_words is an object.*experts=\{'bag_of_words': ...\}"
    ):
        Engine.open(tmp_path)
    engine = Engine.open(tmp_path, experts={"bag_of_words": bag_of_words})
    assert engine.search(texts[3]).hits[0].text == texts[3]
    assert Engine.from_texts(texts, [bag_of_words], tmp_path).count() == 50
    with pytest.raises(InvalidInputError, match="in memory"):
        pickle.dumps(engine)


def test_one_server_beside_a_model_here(server, loaded, tmp_path):
    texts = sentences(50, 3)
    engine = Engine.from_texts(texts, [over(server), loaded["bert"]], tmp_path, Recipe(pairs()))
    assert set(engine.search(texts[3]).coefficients) == {"tiny", "bert", "words"}
    assert engine.search(texts[3]).hits[0].text == texts[3]


def test_a_cache_of_the_users_keeps_what_is_stored(server, tmp_path):
    texts = sentences(50, 3)
    cache = EmbeddingCache(tmp_path / "mine.sqlite3")
    for name in ("one", "two"):
        before = server.embedded.total()
        Engine.from_texts(texts, [over(server).with_cache(cache)], tmp_path / name, Recipe(pairs())).close()
    assert server.embedded.total() == before + len(PROBES)


def kept_in(folder):
    cache = EmbeddingCache(folder / "embeddings.sqlite3")
    with contextlib.closing(cache), cache._open() as database:
        return database.execute("SELECT count(*) FROM embedding").fetchone()[0]


def test_copying_again_leaves_nothing_behind_and_the_old_index_as_it_is(server, tmp_path):
    old = index(server, sentences(50, 3), tmp_path / "old")
    before = kept_in(tmp_path / "old")
    with old, Engine.create(tmp_path / "new", old.keeping_experts, Recipe(pairs())) as new:
        assert all(e.cache is None for e in new.experts)
        for _ in range(2):
            old.copy_to(new)
            assert kept_in(tmp_path / "new") == 0
    assert kept_in(tmp_path / "old") == before


def test_an_estimate_counts_no_text_whose_metadata_alone_are_new(server, tmp_path):
    texts, ids = sentences(50, 3), [str(i) for i in range(50)]
    with index(server, texts, tmp_path, label="e") as engine:
        engine.add(texts, ids, [{"year": 1}] * 50)
    told = estimate(
        make_records([*texts, "one more"], [*ids, "x"], [{"year": 2}] * 51), None, Location(tmp_path)
    )
    assert (told.texts, told.retold, told.unchanged) == (1, 50, 0)


def test_an_index_is_created_of_whatever_can_be_an_expert(server, tmp_path):
    experts = [bag_of_words, f"openai:tiny@{server.url}"]
    engine = Engine.create(tmp_path / "index", experts, pairs())
    assert [e.model.rsplit(".")[-1] for e in engine.manifest.experts] == ["bag_of_words", "openai:tiny"]
    with pytest.raises(InvalidInputError, match="put it into a list"):
        Engine.create(tmp_path / "other", bag_of_words, pairs())


def test_a_model_of_another_kind_in_its_place_is_told_from_it(server, loaded, tmp_path):
    """Options of a server mean nothing to a model in a folder."""
    index(server, sentences(50, 3), tmp_path / "index").close()
    with pytest.raises(ModelMismatchError, match="made with 'openai:tiny' as 'tiny'"):
        Engine.open(tmp_path / "index", experts={"tiny": loaded["static"].name})
