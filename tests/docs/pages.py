"""The project's Markdown pages, and what they are made of."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README, RESULTS, CHANGELOG = ROOT / "README.md", ROOT / "benchmarks" / "RESULTS.md", ROOT / "CHANGELOG.md"
TOPICS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *TOPICS, RESULTS, CHANGELOG, *sorted(ROOT.glob("integrations/*/README.md"))]
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->$")


def name(page):
    """Of a page, relative to the repository."""
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block, its language, and why its code is not run, if it is not."""

    language: str
    text: str
    not_run: str | None = None


def blocks(text):
    """All fenced blocks of a page, in order."""
    found, reason, lines, language = [], None, None, ""
    for line in text.splitlines():
        if lines is not None:
            if line == "```":
                found.append(Block(language, "".join(f"{each}\n" for each in lines), reason))
                lines, reason = None, None
            else:
                lines.append(line)
        elif line.startswith("```"):
            lines, language = [], line[3:]
        elif line:
            reason = match[1] if (match := _NOT_RUN.match(line)) else None
    assert lines is None, "a block that is not closed"
    return found


def prose(text):
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def spans(text):
    """Inline code, its line breaks made spaces."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]


def links(text):
    """Targets of the links of a page."""
    return re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`]*`", "code", prose(text)))


def anchors(text):
    """What headings are called in addresses, as GitHub makes it."""
    found, seen = set(), {}
    for heading in re.findall(r"^#+ +(.+?) *$", prose(text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found
