"""A Ray on this machine for the tests of a file, and its workers."""

import contextlib
import os
import sys
import warnings

import pytest

psutil = pytest.importorskip("psutil", reason="psutil is not installed")
ray = pytest.importorskip("ray", reason='Ray is not installed: pip install "uec-retriever[ray]"')

# Ray's own processes, sockets and log files are not ours to close
OF_RAY = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@contextlib.contextmanager
def local_ray():
    """Yields its address."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = ray.init(
            num_cpus=3,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=100 * 2**20,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}},
        )
    yield context.address_info["gcs_address"]
    ray.shutdown()


def workers():
    """Processes of the actors of this session."""
    mine = psutil.Process().children(recursive=True)
    found = []
    for process in mine:
        try:
            if "MapWorker" in "".join(process.cmdline()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
