"""`uec index --engine ray` on a local Ray; skipped with a reason where Ray is absent."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.cli.conftest import refused
from tests.cli.test_stopping import PROGRAM
from tests.local_ray import OF_RAY, local_ray

pytestmark = OF_RAY


@pytest.fixture(scope="module")
def address():
    with local_ray() as address:
        yield address


def test_it_adds_what_is_missing(uec, index, corpus, address):
    outcome = uec(
        "index", "--index", index, "--corpus", corpus(80), "--engine", "ray", "--workers", 1, "--json"
    )
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    assert (told["added"], told["unchanged"]) == (20, 60)


def test_sigterm_is_ours_again_when_ray_has_started(uec, index, corpus, address):
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, "index", "--index", index, "--corpus", corpus(70)]
        + ["--engine", "ray", "--workers", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "RAY_ADDRESS": address},
    )  # fmt: skip
    assert process.stdout.readline() == "chunk\n"
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 143, told
    assert "terminated: what is stored stays; run the same command again" in told and "Traceback" not in told
    assert "70 unchanged" in uec("index", "--index", index, "--corpus", corpus(70)).out


@pytest.mark.parametrize("option", [("--workers", 3), ("--gpus", 1)])
def test_options_without_ray_are_refused(uec, corpus, tmp_path, option):
    outcome = uec("index", "--index", tmp_path / "i", "--corpus", corpus(5), *option)
    refused(outcome, f"{option[0]} would change nothing with --engine local", code=2)
