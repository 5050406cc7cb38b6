"""A build hook: the README as the package index shows it, which cannot follow links into the repository.

With `Source` among the `[project.urls]`, links become addresses there, of this version's tag; without, only their words
are kept.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"\[([^\]]+)\]\((?!https?://|#)([^()\s]+)\)")


def for_package_index(text: str, base: str | None) -> str:
    """A README whose links lead somewhere from anywhere.

    Args:
        text: Markdown, whose relative links start from the root of the repository.
        base: address that they are put behind; links are left out if None.
    """
    return _LINK.sub(r"\1" if base is None else rf"[\1]({base}/\2)", text)


class ReadmeHook(MetadataHookInterface):
    """Fills in the dynamic field `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the README.

        Args:
            metadata: the `[project]` table, changed in place.
        """
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        source = metadata.get("urls", {}).get("Source")
        base = f"{source.rstrip('/')}/blob/v{metadata['version']}" if source else None
        metadata["readme"] = {"content-type": "text/markdown", "text": for_package_index(text, base)}
