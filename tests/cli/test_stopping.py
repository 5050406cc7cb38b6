"""SIGTERM ends a command with a sentence, and leaves an index that goes on."""

import os
import signal
import subprocess
import sys
import time

import pytest

from uec_retriever.store.locks import LOCK_FILE

PROGRAM = """
import sys, time
from uec_retriever.cli import main
from uec_retriever.engine import add

real = add._store
def slow(*arguments):
    report = real(*arguments)
    print("chunk", flush=True)
    time.sleep(60)
    return report
add._store = slow
main()
"""


def start(*arguments, program=PROGRAM):
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("times", [1, 3])
def test_sigterm_says_how_to_go_on_and_lets_go(uec, index, corpus, times):
    process = start("index", "--index", index, "--corpus", corpus(70))
    assert process.stdout.readline() == "chunk\n"
    refused = uec("delete", "--index", index, "--id", "d1")
    assert refused.code == 1 and "another process is writing" in refused.err
    for _ in range(times):
        process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "terminated: what is stored stays; run the same command again" in told
    assert "Traceback" not in told and len(told.splitlines()) == 1
    assert (index / "chroma" / LOCK_FILE).parent.is_dir()
    assert "70 unchanged" in uec("index", "--index", index, "--corpus", corpus(70)).out


def test_sigterm_before_anything_is_done(index, corpus):
    quick = "from uec_retriever.cli import main; main()"
    process = start("index", "--index", index, "--corpus", corpus(60), program=quick)
    end = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < end:
        with open(f"/proc/{process.pid}/status") as status:
            caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt"))
        if caught & 1 << (signal.SIGTERM - 1):
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 143 and "terminated: " in told and "Traceback" not in told
