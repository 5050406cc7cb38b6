"""Build the wheel and check that it holds the whole package and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "uec_retriever"


def main() -> int:
    """Compare the wheel's contents with the package's files; returns the exit code."""
    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, str(root)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        [wheel] = Path(folder).glob("*.whl")
        names = set(zipfile.ZipFile(wheel).namelist())
    packed = {name for name in names if ".dist-info/" not in name}
    wanted = {
        file.relative_to(root).as_posix()
        for file in (root / PACKAGE).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    for name in sorted(wanted - packed):
        print(f"missing in the wheel: {name}")
    for name in sorted(packed - wanted):
        print(f"does not belong in the wheel: {name}")
    print(f"{wheel.name}: {len(packed)} files")
    return int(packed != wanted)


if __name__ == "__main__":
    sys.exit(main())
