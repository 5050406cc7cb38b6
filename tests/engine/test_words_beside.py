"""Words are indexed in a thread while other texts are encoded and stored."""

import threading

import pytest

from tests.engine.small import sentences
from tests.store.lexical_corpus import fresh, same
from uec_retriever.data.words import WordAnalyzer
from uec_retriever.engine import words
from uec_retriever.errors import IdConflictError
from uec_retriever.store.lexical.following import LexicalFollower

TEXTS = {str(i): text for i, text in enumerate(sentences(2000, 31))}


@pytest.fixture
def engine(make, monkeypatch):
    monkeypatch.setattr(words, "_MANY", 300)
    with make("static") as made:
        yield made


def follow_in_threads(monkeypatch):
    """The names of the threads that follow."""
    names, real = [], LexicalFollower._catch_up

    def spy(self, *arguments):
        names.append(threading.current_thread().name)
        return real(self, *arguments)

    monkeypatch.setattr(LexicalFollower, "_catch_up", spy)
    return names


def test_what_was_indexed_while_texts_were_added_is_as_a_new_index(engine, monkeypatch):
    names = follow_in_threads(monkeypatch)
    engine.add(list(TEXTS.values()), list(TEXTS))
    assert any(name.startswith("uec-words") for name in names)
    analyzer = WordAnalyzer()
    with fresh({i: analyzer.terms(text) for i, text in TEXTS.items()}) as expected:
        follower = engine.words.follower(engine.manifest.lexical)
        terms = list(dict.fromkeys(t for text in list(TEXTS.values())[:50] for t in analyzer.terms(text)))
        follower.read(lambda index: same(index, expected, terms))
    assert not [t for t in threading.enumerate() if t.name.startswith("uec-words")]


def test_texts_can_be_found_after_adding_was_refused_halfway(engine):
    engine.add(["one text"], ["last"])
    with pytest.raises(IdConflictError):
        engine.add([*TEXTS.values(), "another text"], [*TEXTS, "last"], existing="refuse")
    stored = engine.count()
    assert stored > 300
    assert engine.words.follower(engine.manifest.lexical).read(len) == stored


def test_what_fails_in_the_thread_is_raised_when_adding_ends(engine, monkeypatch):
    def fail(*arguments):
        if threading.current_thread().name.startswith("uec-words"):
            raise RuntimeError("in the thread")

    monkeypatch.setattr(words, "read_words", fail)
    with pytest.raises(RuntimeError, match="in the thread"):
        engine.add(list(TEXTS.values()), list(TEXTS))
