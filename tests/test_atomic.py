"""Files are whole or absent, and readable by whom the umask lets."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from uec_retriever.atomic import write_atomically


def in_a_process(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_importing_does_not_touch_the_umask():
    """It is the whole process's: a file that another thread makes meanwhile would get other permissions."""
    code = "import os; calls = []; os.umask = calls.append; import uec_retriever.atomic; print(len(calls))"
    assert in_a_process(code) == ["0"]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o002])
def test_permissions_follow_the_umask_of_the_moment(tmp_path, umask):
    code = (
        "import os, pathlib, sys; from uec_retriever.atomic import write_atomically\n"
        "os.umask(int(sys.argv[2]))\n"  # after the import
        "write_atomically(pathlib.Path(sys.argv[1]) / 'file', b'x')"
    )
    in_a_process(code, tmp_path, umask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


def test_writers_of_one_file_leave_one_whole_file(tmp_path):
    contents = [bytes([i]) * 50_000 for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: write_atomically(tmp_path / "file", data), contents))
    assert (tmp_path / "file").read_bytes() in contents
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    write_atomically(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"old")]
