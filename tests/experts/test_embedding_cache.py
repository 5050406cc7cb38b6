"""EmbeddingCache: what is kept, who may share it, and what goes first."""

import contextlib
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.mounts import read_only
from uec_retriever.errors import InvalidInputError, StorageError
from uec_retriever.experts.embedding_cache import EmbeddingCache
from uec_retriever.experts.fingerprint import probe_fingerprint, same_model

SCOPE = ("model", "document")


def vectors(n, start=0, dimension=4):
    return np.arange(start * dimension, (start + n) * dimension, dtype=np.float32).reshape(n, dimension)


@pytest.fixture
def cache(tmp_path):
    made = EmbeddingCache(tmp_path / "deep" / "er" / "cache.sqlite3")
    yield made
    made.close()


def test_what_is_put_is_got_again_by_text_role_and_model(cache):
    cache.put(SCOPE, ["a", "b\ud800"], vectors(2))
    found = cache.get(SCOPE, ["b\ud800", "a", "c"])
    assert set(found) == {"a", "b\ud800"}
    np.testing.assert_array_equal(found["a"], vectors(1)[0])
    assert found["a"].dtype == np.float32
    for other in (("model", "query"), ("another", "document"), (*SCOPE, "prompt"), ("model",)):
        assert cache.get(other, ["a"]) == {}
    assert cache.get(SCOPE, []) == {}


def test_more_texts_than_one_statement_holds(cache):
    texts = [f"text {i}" for i in range(2000)]
    cache.put(SCOPE, texts, vectors(2000))
    found = cache.get(SCOPE, texts)
    np.testing.assert_array_equal(np.stack([found[text] for text in texts]), vectors(2000))


def test_closing_opening_and_another_object_keep_it(cache):
    cache.put(SCOPE, ["a"], vectors(1))
    cache.close()
    cache.close()
    assert "a" in cache.get(SCOPE, ["a"])
    other = EmbeddingCache(cache.path)
    assert "a" in other.get(SCOPE, ["a"])
    other.close()
    copied = pickle.loads(pickle.dumps(EmbeddingCache(cache.path, limit=3, until_stored=True)))
    assert (copied.path, copied.limit, copied.until_stored) == (cache.path, 3, True)
    assert "a" in copied.get(SCOPE, ["a"])
    copied.close()


def test_texts_are_kept_as_hashes_alone(cache):
    cache.put(SCOPE, ["a very private sentence"], vectors(1))
    cache.close()
    assert b"private" not in cache.path.read_bytes()


def test_forgetting(cache):
    cache.put(SCOPE, ["a", "b"], vectors(2))
    cache.forget(SCOPE, ["a", "never there"])
    assert set(cache.get(SCOPE, ["a", "b"])) == {"b"}


def test_in_memory_closing_forgets():
    cache = EmbeddingCache()
    cache.put(SCOPE, ["a"], vectors(1))
    assert "a" in cache.get(SCOPE, ["a"])
    cache.close()
    assert cache.get(SCOPE, ["a"]) == {}
    cache.close()


@pytest.mark.parametrize("touch", ["get", "put"])
def test_a_limit_drops_what_was_not_used_for_longest(tmp_path, touch):
    cache = EmbeddingCache(tmp_path / "c", limit=3)
    for i, text in enumerate("abc"):
        cache.put(SCOPE, [text], vectors(1, i))
    cache.get(SCOPE, ["a"]) if touch == "get" else cache.put(SCOPE, ["a"], vectors(1))
    cache.put(SCOPE, ["d"], vectors(1))
    assert set(cache.get(SCOPE, "abcd")) == set("acd")
    cache.put(SCOPE, list("efghi"), vectors(5))
    assert set(cache.get(SCOPE, "abcdefghi")) == set("ghi")
    cache.close()
    assert len(EmbeddingCache(tmp_path / "c").get(SCOPE, "abcdefghi")) == 3


@pytest.mark.parametrize("limit", [0, -1, 1.5, "3", True])
def test_a_limit_is_a_number_of_embeddings(limit):
    with pytest.raises(InvalidInputError, match="limit"):
        EmbeddingCache(limit=limit)


def test_a_hit_costs_no_walk_through_all_that_is_kept(tmp_path):
    """When each looked at all others, 50 hits out of 40,000 took 0.6 s, and now 2 ms."""
    cache = EmbeddingCache(tmp_path / "c", limit=50_000)
    texts = [str(i) for i in range(40_000)]
    cache.put(SCOPE, texts, np.zeros((len(texts), 4), dtype=np.float32))
    start = time.perf_counter()
    assert len(cache.get(SCOPE, texts[:500])) == 500
    assert time.perf_counter() - start < 3
    cache.close()


def test_threads(cache):
    def work(number):
        texts = [f"{number % 4} {i}" for i in range(50)]
        for text in texts:
            cache.put(SCOPE, [text], vectors(1, number % 4))
        found = cache.get(SCOPE, texts)
        return len(found) == 50 and all((v == vectors(1, number % 4)[0]).all() for v in found.values())

    with ThreadPoolExecutor(8) as pool:
        closing = threading.Thread(target=lambda: [cache.close() for _ in range(20)])
        closing.start()
        assert all(pool.map(work, range(8)))
        closing.join()


WORK = """
import sys, numpy as np
sys.path.insert(0, sys.argv[3])
from uec_retriever.experts.embedding_cache import EmbeddingCache
cache = EmbeddingCache(sys.argv[1], limit=1000)
for i in range(100):
    cache.put(("model", "document"), [f"{sys.argv[2]} {i}", f"both {i}"], np.full((2, 4), i, dtype=np.float32))
    assert cache.get(("model", "document"), [f"{sys.argv[2]} {i}"])
cache.close()
"""


def test_two_processes_write_at_once(tmp_path, request):
    path = tmp_path / "cache"
    command = [sys.executable, "-c", WORK, str(path)]
    both = [subprocess.Popen([*command, name, str(request.config.rootpath)]) for name in ("one", "two")]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    cache = EmbeddingCache(path)
    found = cache.get(SCOPE, [f"{name} {i}" for name in ("one", "two", "both") for i in range(100)])
    assert len(found) == 300
    assert all((found[f"both {i}"] == i).all() for i in range(100))
    cache.close()


def test_a_damaged_file_is_named_with_the_fix(tmp_path):
    path = tmp_path / "cache"
    path.write_bytes(b"not a database at all" * 100)
    cache = EmbeddingCache(path)
    for use in (
        lambda: cache.get(SCOPE, ["a"]),
        lambda: cache.put(SCOPE, ["a"], vectors(1)),
        lambda: cache.forget(SCOPE, ["a"]),
        lambda: cache.model("f", same_model),
    ):
        with pytest.raises(StorageError, match=r"cache cannot be used.*may be deleted"):
            use()
    path.unlink()
    cache.put(SCOPE, ["a"], vectors(1))  # and then it works
    cache.close()


def test_a_file_cut_in_the_middle_is_no_other_error(tmp_path):
    cache = EmbeddingCache(tmp_path / "cache")
    cache.put(SCOPE, [str(i) for i in range(500)], vectors(500, dimension=64))
    cache.close()
    whole = cache.path.read_bytes()
    cache.path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageError, match="may be deleted"):
        cache.get(SCOPE, [str(i) for i in range(500)])
    cache.close()


def test_a_database_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / "chroma.sqlite3"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE collections (id)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="database of something else"):
        EmbeddingCache(path).put(SCOPE, ["a"], vectors(1))
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write to"):
        EmbeddingCache(tmp_path / "file" / "cache").get(SCOPE, ["a"])
    with pytest.raises(StorageError, match="cannot be used"):
        EmbeddingCache(tmp_path).get(SCOPE, ["a"])  # a folder itself


def test_a_folder_that_is_read_only_for_a_while(cache):
    another = EmbeddingCache(cache.path)
    another.put(SCOPE, ["a"], vectors(1))
    with read_only(cache.path.parent):
        assert list(cache.get(SCOPE, ["a"])) == ["a"]
        with pytest.raises(StorageError, match="cannot be used"):
            cache.put(SCOPE, ["b"], vectors(1))
    cache.put(SCOPE, ["b"], vectors(1))
    assert sorted(another.get(SCOPE, ["a", "b"])) == ["a", "b"]
    another.close()


def test_a_model_is_known_again_by_probes_within_noise(cache):
    generator = np.random.default_rng(0)
    probes = generator.standard_normal((4, 64))
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)

    def seen():
        return probe_fingerprint(probes + 1e-3 * generator.standard_normal(probes.shape) / 8)

    first, again = seen(), seen()
    assert first != again
    assert cache.model(first, same_model) == first
    assert cache.model("sha", same_model) == "sha"
    cache.close()
    assert cache.model(again, same_model) == first
    assert cache.model("sha", same_model) == "sha"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_opens_the_file_itself(cache):
    cache.put(SCOPE, ["a"], vectors(1))
    parents = cache._database
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            cache.put(SCOPE, ["b"], vectors(1))
            os._exit(0 if cache._database is not parents else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cache._database is parents
    assert set(cache.get(SCOPE, ["a", "b"])) == {"a", "b"}
