"""Mounts for tests, where they are permitted."""

import contextlib
import subprocess

import pytest


def mount(*commands):
    """Run mount commands; skip where they are not permitted."""
    for command in commands:
        result = subprocess.run(["mount", *map(str, command)], capture_output=True, text=True, check=False)
        if result.returncode:
            pytest.skip(f"mount is not permitted here: {result.stderr.strip()}")


@contextlib.contextmanager
def mounted(folder, *commands):
    """A folder that commands mount something on, until the end."""
    try:
        mount(*commands)
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], capture_output=True, check=False)


def small_disk(folder, megabytes):
    """A new folder that is a disk of that size, until the end."""
    folder.mkdir()
    return mounted(folder, ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder])


def read_only(folder):
    """A folder that nothing can write to, until the end."""
    return mounted(folder, ["--bind", folder, folder], ["-o", "remount,ro,bind", folder])
