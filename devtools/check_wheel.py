"""Build the wheels and check that each holds its whole package and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ((ROOT, "uec_retriever"), (ROOT / "integrations" / "langchain-uec", "langchain_uec"))


def main() -> int:
    """Check every wheel; returns the exit code."""
    return int(not all([matches(root, package) for root, package in PACKAGES]))


def matches(root: Path, package: str) -> bool:
    """Whether the wheel's contents are the package's files."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, str(root)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        [wheel] = Path(folder).glob("*.whl")
        names = set(zipfile.ZipFile(wheel).namelist())
    packed = {name for name in names if ".dist-info/" not in name}
    wanted = {
        file.relative_to(root).as_posix()
        for file in (root / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    for name in sorted(wanted - packed):
        print(f"missing in the wheel: {name}")
    for name in sorted(packed - wanted):
        print(f"does not belong in the wheel: {name}")
    print(f"{wheel.name}: {len(packed)} files")
    return packed == wanted


if __name__ == "__main__":
    sys.exit(main())
