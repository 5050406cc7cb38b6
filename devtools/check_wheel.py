"""Build the wheels and check that each holds its whole package and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# distribution folder -> its package; `llama_index` is a namespace that others share
PACKAGES = {
    ".": "uec_retriever",
    "integrations/langchain-uec": "langchain_uec",
    "integrations/llama-index-retrievers-uec": "llama_index",
}
NAMESPACES = (
    "llama_index",
    "llama_index/retrievers",
    "llama_index/embeddings",
    "llama_index/postprocessor",
    "llama_index/vector_stores",
)


def main() -> int:
    """Check every distribution; returns the exit code."""
    return max([check(ROOT / folder, package) for folder, package in PACKAGES.items()])


def check(root: Path, package: str) -> int:
    """Compare a wheel's contents with the package's files; returns 1 if they differ."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, str(root)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        [wheel] = Path(folder).glob("*.whl")
        archive = zipfile.ZipFile(wheel)
        names = set(archive.namelist())
        [metadata] = [archive.read(n).decode() for n in names if n.endswith(".dist-info/METADATA")]
    packed = {name for name in names if ".dist-info/" not in name}
    wanted = {
        file.relative_to(root).as_posix()
        for file in (root / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    problems = [f"missing in the wheel: {name}" for name in wanted - packed]
    problems += [f"does not belong in the wheel: {name}" for name in packed - wanted]
    if not any(name.endswith("py.typed") for name in packed):
        problems.append("no py.typed: type checkers would ignore the annotations")
    if not any("licenses/LICENSE" in name for name in names):
        problems.append("no licence")
    problems += [f"the package index cannot follow {link}" for link in relative_links(metadata)]
    problems += [f"{name} would hide other packages" for name in shadowing(packed)]
    for problem in sorted(problems):
        print(problem)
    print(f"{wheel.name}: {len(packed)} files")
    return int(bool(problems))


def relative_links(metadata: str) -> list[str]:
    """Targets of links of a wheel's metadata, which has the README, that start from a place in the repository."""
    return re.findall(r"\]\((?!https?://|#)([^()\s]+)\)", metadata)


def shadowing(packed: set[str]) -> list[str]:
    """Files that make a package of a namespace."""
    return [f"{name}/__init__.py" for name in NAMESPACES if f"{name}/__init__.py" in packed]


if __name__ == "__main__":
    sys.exit(main())
