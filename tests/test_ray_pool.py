"""The pool on a local Ray with two workers; skipped with a reason where Ray is absent."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.local_ray import OF_RAY, local_ray, psutil, ray, workers
from uec_retriever.errors import InvalidInputError, NumericalError, WorkerError
from uec_retriever.ray_pool import _WINDOW, RayPool

pytestmark = OF_RAY


@pytest.fixture(scope="module")
def address():
    with local_ray() as address:
        yield address


class StrangeError(Exception):
    """Cannot be unpickled."""

    def __init__(self, one, two):
        super().__init__(one)


def work(name, job):
    if job == "numerical":
        raise NumericalError("not finite", 7)
    if job == "foreign":
        raise KeyError("nothing here")
    if job == "strange":
        raise StrangeError("one", "two")
    if job == "late":
        time.sleep(0.3)
    if isinstance(job, Path):
        meet(job)
    return name, job, os.getpid()


def meet(folder):
    """Wait until two workers are here: the second may start long after the first."""
    (folder / str(os.getpid())).touch()
    end = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2:
        assert time.monotonic() < end, "no second worker came"
        time.sleep(0.01)


def worker(name):
    if name == "refusing":
        raise InvalidInputError("no such model")
    return partial(work, name)


def run(jobs, name="n", size=2):
    return RayPool(workers=size).map(partial(worker, name), jobs)


def test_results_come_in_order_and_jobs_are_read_as_there_is_room(address, tmp_path):
    made = [tmp_path, tmp_path, *("late" if i % 7 == 0 else i for i in range(28))]
    read, behind, pids = [], [], set()

    def jobs():
        for job in made:
            read.append(job)
            yield job

    found = []
    for name, job, pid in run(jobs()):
        found.append(job)
        pids.add(pid)
        behind.append(len(read) - len(found) + 1)
        assert name == "n"
    assert found == made
    assert max(behind) == 2 * _WINDOW
    assert len(pids) == 2


@pytest.mark.parametrize(
    ("job", "error", "words"),
    [
        ("numerical", NumericalError, "not finite"),
        ("foreign", KeyError, "nothing here"),
        ("strange", WorkerError, "StrangeError: one"),
    ],
)
def test_an_error_comes_as_it_was_in_its_turn(address, job, error, words):
    results, found = run([0, 1, job, 3]), []
    with pytest.raises(error, match=words) as caught:
        found.extend(result[1] for result in results)
    assert found == [0, 1]
    assert type(caught.value) is error and caught.value.__cause__ is None
    if job == "numerical":
        assert caught.value.position == 7
    if job == "foreign":
        assert "On a Ray worker" in caught.value.__notes__[0]


def test_an_error_while_a_worker_is_made(address):
    with pytest.raises(InvalidInputError, match="^no such model$"):
        list(run([0], name="refusing"))


def test_an_error_of_the_jobs_comes_behind_the_results_before(address):
    def jobs():
        yield from range(3)
        raise OSError("end of the pipe")

    found = []
    with pytest.raises(OSError, match="end of the pipe"):
        found.extend(job for _, job, _ in run(jobs(), size=1))
    assert found == [0, 1, 2]


def test_who_stops_early_leaves_no_worker(address, tmp_path):
    results = run(iter([tmp_path, tmp_path, *range(1000)]))
    next(results)
    running = workers()
    assert len(running) == 2
    results.close()
    psutil.wait_procs([psutil.Process(p) for p in running if psutil.pid_exists(p)], timeout=60)
    assert not any(map(psutil.pid_exists, running))


def test_whoever_reads_the_jobs_may_be_killed(address):
    found, killed = [], []
    for _, job, _ in run(range(20)):
        found.append(job)
        if not killed:
            killed += [p.pid for p in psutil.Process().children(recursive=True) if "Read_Jobs" in told(p)]
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
    assert len(killed) == 1
    assert found == list(range(20))


def told(process):
    try:
        return "".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.mark.parametrize(
    "options", [{"workers": 0}, {"workers": 1.5}, {"cpus": 0}, {"cpus": -1}, {"gpus": -1}]
)
def test_numbers_out_of_range(options):
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        RayPool(**options)


def test_without_jobs_ray_is_not_started():
    code = (
        "import ray\nfrom uec_retriever.ray_pool import RayPool\nassert list(RayPool().map(list, [])) == []\n"
    )
    code += "assert not ray.is_initialized()"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_ray_that_fails(address):
    """Its cluster takes the feed away."""
    results = run(iter(range(1000)))
    next(results)
    with pytest.raises(WorkerError, match="Ray failed"):
        for _ in results:
            ray.kill(results.gi_frame.f_locals["run"]._feed)


def visible(job):
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def look():
    return visible


def test_a_worker_without_gpus_sees_none(address, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert list(RayPool(workers=1).map(look, [0])) == [""]


def test_workers_that_no_machine_has_room_for_are_refused(address, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for room in ({"gpus": 1000}, {"cpus": 1000}):
        with pytest.raises(InvalidInputError, match="no machine that Ray has now"):
            list(RayPool(workers=1, **room).map(look, [0]))


@pytest.mark.parametrize("room", [{"gpus": 1.5}, {"gpus": float("inf")}, {"cpus": float("nan")}, {"cpus": 0}])
def test_room_that_cannot_be_is_refused(room):
    with pytest.raises(InvalidInputError, match="gpus must be|cpus must be"):
        RayPool(workers=1, **room)
