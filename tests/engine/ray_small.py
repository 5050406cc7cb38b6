"""What the tests of encoding on Ray send to workers and to child processes."""

import os
import signal
import sys
import time
from pathlib import Path

from devtools.numbered import numbered
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.ray_encoder import RayEncoder
from uec_retriever.experts.expert import Expert


class GatedExpert(Expert):
    """Where its folder has a file `closed`: encodes once, and then says so in `waiting-PID` until the file is gone."""

    _encoded = False

    def encode(self, *args, **options):
        folder = Path(self.name)
        while self._encoded and (folder / "closed").exists():
            (folder / f"waiting-{os.getpid()}").touch()
            time.sleep(0.05)
        self._encoded = True
        return super().encode(*args, **options)


def add_until_killed(index, chunk, count, stored):
    """Add numbered records on Ray, and be killed when so many chunks are stored."""
    from uec_retriever.engine import add

    add.CHUNK = chunk
    told = []

    def kill(done):
        told.extend([done] if done else [])  # one is told before each chunk is stored
        if len(told) > stored:
            os.kill(os.getpid(), signal.SIGKILL)

    engine = Engine.open(index, device="cpu")
    engine.add_records(numbered(count), progress=kill, execute=RayEncoder(workers=2))


if __name__ == "__main__":
    add_until_killed(sys.argv[1], *map(int, sys.argv[2:]))
