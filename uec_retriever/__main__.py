"""`python -m uec_retriever`: the `uec` program, where that is not on the path."""

from __future__ import annotations

from uec_retriever.cli import main

if __name__ == "__main__":
    main()
