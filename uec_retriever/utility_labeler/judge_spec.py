"""How to load a judge, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from uec_retriever.utility_labeler.judge import Judge


@dataclass(frozen=True)
class JudgeSpec:
    """How to load a judge; can be sent to other processes. Holds no secrets.

    Attributes:
        name: hub id, folder or GGUF file; with `url`, the model's name on the server.
        url: of an OpenAI-compatible server, e.g. `http://localhost:8000/v1`; None for a model loaded here. It may hold a
            password, so it is not shown.
        options: keyword arguments of `LocalJudge.load` or `ServerJudge`.
    """

    name: str
    url: str | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Judge:
        """Load the model, or connect to the server."""
        if self.url is not None:
            from uec_retriever.utility_labeler.server import ServerJudge

            return ServerJudge(self.url, self.name, **self.options)
        from uec_retriever.utility_labeler.local import LocalJudge

        return LocalJudge.load(self.name, **self.options)
