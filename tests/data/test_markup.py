"""Headings of Markdown and reStructuredText, and what a place in a text stands under."""

import time

import pytest

from uec_retriever.data.files.markup import Outline, headings_of, title_of, with_markdown_headings

MARKDOWN = """Intro

# A *bold* [link](http://x)
text
## B ##
```
# no heading
```
C
---
# D
- item
---
| a |
---
#no heading
"""
RST = """=====
Title
=====

Intro

One
---
text

Deep
~~~~

Two
---

a paragraph
that goes on
------------

=====  =====
a      b
=====  =====
"""


def told(text, markup):
    return [(h.level, h.title) for h in headings_of(text, markup)]


def test_headings_of_markdown():
    assert told(MARKDOWN, "markdown") == [(1, "A bold link"), (2, "B"), (2, "C"), (1, "D")]
    assert all(MARKDOWN[h.start :].lstrip("# ")[0] in "ABCD" for h in headings_of(MARKDOWN, "markdown"))
    assert told(MARKDOWN, "plain") == []


def test_headings_of_restructured_text():
    assert told(RST, "rst") == [(1, "Title"), (2, "One"), (3, "Deep"), (2, "Two")]
    assert [RST[h.start :].split("\n")[0] for h in headings_of(RST, "rst")] == ["Title", "One", "Deep", "Two"]


def test_restructured_text_as_markdown_keeps_every_place():
    read = with_markdown_headings(RST)
    assert len(read) == len(RST)
    assert told(read, "markdown")[:4] == [(1, "Title"), (2, "One"), (2, "Deep"), (2, "Two")]


@pytest.mark.parametrize(
    ("word", "path"),
    [("Intro", ""), ("text", "A bold link"), ("no heading", "A bold link > B"), ("item", "D")],
)
def test_where_a_place_stands(word, path):
    assert Outline(headings_of(MARKDOWN, "markdown")).at(MARKDOWN.index(word)) == path


def test_the_title_is_the_first_of_the_highest():
    assert title_of(headings_of("## Part\n# Book\n# Other", "markdown")) == "Book"
    assert title_of([]) == ""


N = 100_000
SLOW = {
    "blanks": "# a" + " " * N + "b",
    "closings": "# a" + " #" * N + "b",
    "brackets": "# " + "[" * N,
    "pictures": "# " + "![" * N,
    "links": "# " + "[](" * N,
    "links in brackets": "# " + "[](()" * N,
    "parentheses": "# []" + "(" * N,
    "pairs": "# [](" + "()" * N,
    "marks": "# " + "*`" * N + "a",
    "underlined": "[" * N + "\n" + "=" * N + " " * N + "x\n===",
    "fences": "```" + "`" * N + " " * N + "x",
}


@pytest.mark.parametrize("markup", ["markdown", "rst"])
@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_no_heading_takes_long(text, markup):
    begun = time.process_time()
    headings_of(f"{text}\n{'=' * 3 * len(text)}\n", markup)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("# C#", "C#"),
        ("# C# ##  ", "C#"),
        ("# #", ""),
        ("## ##", ""),
        ("# a  b\t#", "a b"),
        ("# see [a](http://x/b_(c)) now", "see a now"),
        ("# [![build](b.svg)](http://x) of *all*", "build of all"),
        ("# a[i] and [b](c)", "a[i] and b"),
        ("# [a [b](c)", "[a b"),
    ],
)
def test_a_heading_says_what_people_read(line, title):
    assert [heading.title for heading in headings_of(line, "markdown")] == [title]


@pytest.mark.parametrize("text", ["# {}\n\na", "{}\n===\n"])
def test_of_a_very_long_heading_the_beginning_is_kept(text):
    [heading] = headings_of(text.format("word " * 50_000), "markdown")
    assert len(heading.title) <= 200 and heading.title.startswith("word word") and heading.title.endswith("…")
    assert len(Outline([heading]).at(5)) <= 200
    [heading] = headings_of(text.format("x" * 200), "markdown")
    assert heading.title == "x" * 200
