"""The lexical index under threads and processes, and when one is killed."""

import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.store.lexical_corpus import K1, B, after, fresh, same
from uec_retriever.errors import IndexBusyError, StorageError
from uec_retriever.store.lexical import LexicalIndex, database, documents

# threads and processes


def start_writer(path):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.lexical_writer", str(path)], stdout=subprocess.PIPE, text=True
    )


def test_a_kill_at_any_moment_leaves_it_whole_at_a_mark(words_path):
    seed = random.randrange(10**6)
    logging.getLogger(__name__).warning("seed %d", seed)  # shown if it fails
    draw = random.Random(seed)
    for _ in range(4):
        writer = start_writer(words_path)
        reported = [int(writer.stdout.readline()) for _ in range(draw.randint(1, 6))][-1]
        time.sleep(draw.random() / 50)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        with LexicalIndex.open(words_path, {}) as index, fresh(after(int(index.mark))) as wanted:
            assert int(index.mark) >= reported
            same(index, wanted)
            with index._read() as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_process_reads_while_another_writes(words_path):
    writer = start_writer(words_path)
    try:
        assert writer.stdout.readline() == "1\n"
        with LexicalIndex.open(words_path, {}) as reader:
            seen = set()
            while len(seen) < 3:
                with reader._read() as connection:  # one moment for all questions
                    mark = documents.read_state(connection).mark
                    df = documents.find_terms(connection, ["a"])["a"][1]
                assert df == sum("a" in terms for terms in after(int(mark)).values())
                reader.search({"a": 1.0, "b": 2.0}, 10, K1, B)
                seen.add(mark)
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()


def test_two_writers_wait_for_each_other_and_a_third_gives_up(words_path, monkeypatch):
    with LexicalIndex.open(words_path, {}) as one, LexicalIndex.open(words_path, {}) as two:
        with ThreadPoolExecutor(2) as pool:
            for index, name in ((one, "x"), (two, "y")):
                pool.submit(lambda i=index, n=name: [i.change({f"{n}{k}": ["a"]}, [], n) for k in range(10)])
        assert len(one) == len(two) == 20
        monkeypatch.setattr(database, "PATIENCE", 0.05)
        with LexicalIndex.open(words_path, {}) as third, one._database.write():
            assert third.statistics(["a"])[2].tolist() == [20]
            with pytest.raises(IndexBusyError, match="another process is writing"):
                third.change({}, ["x1"], "")


@pytest.mark.parametrize("memory", [True, False])
def test_threads_search_while_one_changes(words_path, memory):
    """Every answer is that of some moment: documents of one change are all there or none."""
    index = LexicalIndex.open(None if memory else words_path, {})
    index.change({"0-0": ["a"], "0-1": ["a"]}, [], "0")
    done, failures = threading.Event(), []

    def ask():
        try:
            while not done.is_set():
                hits = index.search({"a": 1.0}, 10, K1, B)
                assert len(hits) == 2
                assert len({identifier.split("-")[0] for identifier, _ in hits}) == 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(1, 40):
        put = {f"{turn}-{i}": ["a"] * turn for i in range(2)}
        index.change(put, [f"{turn - 1}-{i}" for i in range(2)], str(turn))
        assert {i for i, _ in index.search({"a": 1.0}, 10, K1, B)} == put.keys()
    done.set()
    for thread in threads:
        thread.join()
    index.close()
    assert failures == []


def test_processes_that_make_it_at_the_same_time(words_path):
    def make(name):
        with LexicalIndex.open(words_path, {}) as index:
            index.change({name: ["a"]}, [], "")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, map(str, range(8))))
    with LexicalIndex.open(words_path, {}) as index:
        assert len(index) == 8


def test_a_fork_is_refused(words, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(StorageError, match="forked"):
        words.ids()
