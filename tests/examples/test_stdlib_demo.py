"""What the demo says of its questions is worked out, and its texts are such that it can be."""

from examples import stdlib_demo
from examples.stdlib_demo import Favourite, favourites
from uec_retriever import Hit, Record, SearchResult


def found(scores, coefficients):
    """A search by experts `a` and `words`, whose own scores are given for each text, the best one first."""
    hits = [
        Hit(Record(f"t{i}", "text"), 0.5, 0.0, 0.1, dict(zip(("a", "words"), pair, strict=True)))
        for i, pair in enumerate(scores)
    ]
    return SearchResult("query", coefficients, hits)


def test_each_experts_own_favourite():
    result = found([(0.4, 0.3), (0.6, 0.0), (0.2, 0.5), (0.5, 0.0)], {"a": 0.7, "words": 0.3})
    assert favourites(result) == [Favourite("a", 0.7, "t1", 3), Favourite("words", 0.3, "t2", 2)]


def test_an_expert_that_sees_no_likeness_gives_no_place():
    result = found([(0.4, 0.0), (0.3, 0.2)], {"a": 0.7, "words": 0.3})
    assert favourites(result) == [Favourite("a", 0.7, "t0", 1), Favourite("words", 0.3, "t1", None)]


def test_the_texts_hold_what_is_asked_for():
    """As the demo cuts them, in any version of Python."""
    texts = stdlib_demo.texts("xml/sax/*.py")
    assert "difference between two" in texts["datetime.timedelta"].lower()
    assert [name for name, text in texts.items() if stdlib_demo.WORD in text]
    assert max(map(len, texts.values())) <= stdlib_demo.LONGEST
