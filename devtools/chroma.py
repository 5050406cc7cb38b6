"""A real `chroma run` for tests and examples."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ChromaServer:
    """A running server: its address and its process."""

    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """Stop it without warning, as a crash would."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def running_chroma(path: Path, seconds: float = 60) -> Iterator[ChromaServer]:
    """Serve a folder of Chroma; yields the server, which ends with the block.

    Args:
        path: e.g. `index / "chroma"`; made if absent. The server's log goes beside it.
        seconds: how long to wait for it to come up.

    Raises:
        RuntimeError: if it does not.
    """
    path.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, log_file = f"http://127.0.0.1:{port}", path.parent / f"{path.name}-server.log"
    program = str(Path(sys.executable).parent / "chroma")
    command = [program, "run", "--host", "127.0.0.1", "--port", str(port), "--path", str(path)]
    with log_file.open("wb") as log:
        server = ChromaServer(url, subprocess.Popen(command, stdout=log, stderr=log, cwd=path))
        try:
            _wait(url, server.process, seconds, log_file)
            yield server
        finally:
            server.kill()


def _wait(url: str, process: subprocess.Popen[bytes], seconds: float, log_file: Path) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{url}/api/v2/heartbeat", timeout=1),
        ):
            return
        time.sleep(0.1)
    raise RuntimeError(f"chroma run did not come up: {log_file.read_text()}")
