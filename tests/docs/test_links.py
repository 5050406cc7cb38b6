"""Links between pages lead somewhere, and every page is found from the index of pages."""

import pytest

from tests.docs.pages import PAGES, README, RESULTS, ROOT, TOPICS, anchors, links, name


def broken(text, folder):
    """Targets of relative links that are not there: files, or headings in them."""
    found = []
    for target in links(text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = folder / path
        there = text if not path else file.read_text() if file.suffix == ".md" and file.is_file() else ""
        if (path and not file.exists()) or (anchor and anchor not in anchors(there)):
            found.append(target)
    return found


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    assert broken(page.read_text(), page.parent) == []


@pytest.mark.parametrize(
    "target", ["gone.md", "concepts.md#gone", "#gone", "../uec_retriever/gone.py", "#in-a-block"]
)
def test_a_broken_link_is_found(target):
    text = f"# Here\n\n[one](concepts.md#glossary) [two](#here) [three]({target})\n\n```\n# In a block\n```\n"
    assert broken(text, ROOT / "docs") == [target]


def test_anchors_are_named_as_on_github():
    assert anchors("# A, `b_c`: d-e!\n## Twice\n### Twice\n") == {"a-b_c-d-e", "twice", "twice-1"}


def test_every_page_is_in_the_index():
    index = ROOT / "docs" / "README.md"
    named = {(index.parent / target.partition("#")[0]).resolve() for target in links(index.read_text())}
    assert {*TOPICS, RESULTS} - {index} <= named


def test_the_readme_is_a_page():
    assert len(README.read_text().splitlines()) <= 120
