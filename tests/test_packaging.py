"""Versions, ranges and tested versions agree; the scripts that check them can tell when they do not."""

import shutil
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import langchain_uec
import uec_retriever
from devtools import check_versions, check_wheel, constraints

ROOT = Path(__file__).resolve().parent.parent
INTEGRATIONS = sorted(ROOT.glob("integrations/*"))


def pyproject(folder=ROOT):
    return tomllib.loads((folder / "pyproject.toml").read_text())


def pinned(file):
    return constraints.parse(file.read_text().splitlines())


def test_one_version():
    assert check_versions.problems(ROOT) == []
    version = pyproject()["project"]["version"]
    assert uec_retriever.__version__ == langchain_uec.__version__ == version, "run make again"


@pytest.fixture
def copied(tmp_path):
    """`copied(file, old, new)`: a copy of the project files with one replacement."""
    names = [
        "pyproject.toml",
        "CHANGELOG.md",
        *(f"integrations/{i.name}/pyproject.toml" for i in INTEGRATIONS),
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)

    def replace(name, old, new):
        text = (tmp_path / name).read_text()
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new, 1))
        return tmp_path

    return replace


@pytest.mark.parametrize("distribution", ["langchain-uec", "llama-index-retrievers-uec"])
def test_another_version_of_an_integration_is_found(copied, distribution):
    version = pyproject()["project"]["version"]
    root = copied(f"integrations/{distribution}/pyproject.toml", f'version = "{version}"', 'version = "9.0"')
    assert check_versions.problems(root) == [f"{distribution} is 9.0, uec-retriever is {version}"]


def test_a_range_that_the_core_has_left_is_found(copied):
    root = copied("integrations/langchain-uec/pyproject.toml", '"uec-retriever>=', '"uec-retriever<0.0.1,>=')
    [problem] = check_versions.problems(root)
    assert problem.startswith("langchain-uec asks for uec-retriever<0.0.1")


@pytest.mark.parametrize(
    ("version", "problem"),
    [("0.7.1", "about 0.7.1 first"), ("0.0", "about 0.0 first")],
)
def test_another_version_of_the_changelog_is_found(copied, version, problem):
    base = Version(pyproject()["project"]["version"]).base_version
    [found] = check_versions.problems(copied("CHANGELOG.md", f"## {base}", f"## {version}"))
    assert problem in found


def test_an_unreleased_version_may_be_a_development_version(copied):
    version = pyproject()["project"]["version"]
    base = Version(version).base_version
    for name in ("pyproject.toml", *(f"integrations/{i.name}/pyproject.toml" for i in INTEGRATIONS)):
        root = copied(name, f'version = "{version}"', f'version = "{base}.dev7"')
        if name != "pyproject.toml":
            copied(name, '"uec-retriever>=', '"uec-retriever>=0.0.1,!=9,>=')
    assert [p for p in check_versions.problems(root) if "asks for" not in p] == []
    released = (root / "CHANGELOG.md").read_text().replace(f"## {base} (unreleased)", f"## {base}", 1)
    (root / "CHANGELOG.md").write_text(released)
    assert f"CHANGELOG.md calls {base} released, uec-retriever is {base}.dev7" in check_versions.problems(
        root
    )


def requirements(folder):
    """Every requirement of a distribution, its extras and its groups."""
    project = pyproject(folder)
    extras = project["project"].get("optional-dependencies", {})
    groups = project.get("dependency-groups", {})
    lines = [*project["project"]["dependencies"], *sum(extras.values(), []), *sum(groups.values(), [])]
    found = [Requirement(line) for line in lines if isinstance(line, str)]  # not the groups in groups
    return [r for r in found if r.name != "uec-retriever"]


@pytest.mark.parametrize("file", sorted((ROOT / "constraints").glob("python*.txt")), ids=lambda f: f.stem)
def test_tested_versions_are_of_the_ranges(file):
    tested = pinned(file)
    for folder in (ROOT, *INTEGRATIONS):
        for requirement in requirements(folder):
            name = constraints.normalise(requirement.name)
            assert requirement.specifier.contains(tested[name]), f"{requirement}: make constraints"


@pytest.mark.parametrize("folder", [ROOT, *INTEGRATIONS], ids=lambda f: str(f.relative_to(ROOT)))
def test_lowest_versions_are_the_ends_of_the_ranges(folder):
    """Of dependencies: torch is tested in one version, and the core is of this checkout."""
    lowest = pinned(folder / "lowest.txt" if folder != ROOT else ROOT / "constraints" / "lowest.txt")
    lowest |= pinned(ROOT / "constraints" / "lowest.txt")
    for requirement in map(Requirement, pyproject(folder)["project"]["dependencies"]):
        if requirement.name not in ("torch", "uec-retriever"):
            [end] = [s.version for s in requirement.specifier if s.operator == ">="]
            assert Version(lowest[requirement.name]) == Version(end), requirement


def test_extra_all():
    extras = pyproject()["project"]["optional-dependencies"]
    [everything] = map(Requirement, extras["all"])
    assert everything.name == "uec-retriever"
    assert everything.extras == set(extras) - {"all"}


def test_the_constraints_of_this_python_or_the_nearest(tmp_path, capsys):
    for minor in (9, 11, 14):
        (tmp_path / f"python3.{minor}.txt").touch()
    found = {m: constraints.constraints_file(tmp_path, (3, m)).stem for m in (9, 11, 12, 13, 15)}
    assert found == {m: f"python3.{n}" for m, n in {9: 9, 11: 11, 12: 11, 13: 14, 15: 14}.items()}
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 3
    assert notes[0] == "no tested versions for Python 3.12: those of Python 3.11 are used"


def test_constraints_name_versions_that_every_index_has():
    assert constraints.parse(["# why", "", "torch==2.13.0+cpu", "Ir_Measures==0.4  # x"]) == {
        "torch": "2.13.0",
        "ir-measures": "0.4",
    }
    with pytest.raises(ValueError, match="name==version"):
        constraints.parse(["torch>=2"])


def test_departures_from_tested_versions():
    tested = {"a": "1", "b": "2", "absent": "3"}
    assert constraints.departures(tested, {"a": "1", "b": "2", "ours": "0"}, frozenset({"ours"})) == []
    assert constraints.departures(tested, {"a": "1.1", "new": "5"}) == [
        "a 1.1 is installed, tested is 1",
        "new 5 is installed but has no tested version: run make constraints",
    ]


@pytest.mark.parametrize(
    ("base", "link"),
    [("https://x.example/blob/v1", "[one](https://x.example/blob/v1/docs/a.md#b)"), (None, "one")],
)
def test_the_package_index_can_follow_the_readmes_links(base, link):
    readme = pytest.importorskip("devtools.hatch_readme", reason="needs hatchling: pip install --group lint")
    text = "[one](docs/a.md#b) [two](#here) [three](https://y.example)"
    shown = readme.for_package_index(text, base)
    assert shown == f"{link} [two](#here) [three](https://y.example)"
    assert check_wheel.relative_links(text) == ["docs/a.md#b"]
    assert check_wheel.relative_links(shown) == []
