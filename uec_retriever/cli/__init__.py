"""The command line: `uec index | search | fit | info | words | delete | recalibrate | reindex`."""

from __future__ import annotations

from uec_retriever.cli.app import main

__all__ = ["main"]
