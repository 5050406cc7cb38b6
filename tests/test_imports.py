"""What may import what (design, section 2), and what importing the package may cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import uec_retriever

PACKAGE = Path(uec_retriever.__file__).parent
HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "chromadb",
    "langchain_core",
    "llama_index",
    "ray",
    "bm25s",
    "matplotlib",
    "mteb",
    "markitdown",
    "semantic_text_splitter",
)
# The arrows of the design: each part with what it may use, from the bottom up. The three steps do not know each other.
FOUNDATION = ("errors", "atomic", "temporary", "write_ahead", "checks", "gaussian")
STEPS = ("laplace", "convolution", "similarity")
MAY_USE = {
    "__main__": ("cli",),
    "errors": (),
    "atomic": ("errors",),
    "temporary": (),
    "write_ahead": (),
    "gaussian": ("errors",),
    "checks": ("errors",),
    "data": ("errors", "checks"),
    "json_client": ("errors",),
    "ray_pool": ("errors", "checks", "ray_worker"),
    "ray_worker": ("errors",),
    "laplace": FOUNDATION,
    "convolution": FOUNDATION,
    "similarity": FOUNDATION,
    "confidence": (*FOUNDATION, "data"),
    "experts": (*FOUNDATION, *STEPS, "data", "json_client"),
    "store": (*FOUNDATION, "data", "convolution"),
    "engine": (*FOUNDATION, *STEPS, "data", "confidence", "experts", "store", "ray_pool"),
    "utility_labeler": (*FOUNDATION, "data", "laplace", "engine", "json_client", "ray_pool"),
    "training": (*FOUNDATION, "data", "experts", "utility_labeler"),
    "evaluation": (
        *FOUNDATION,
        *STEPS,
        "data",
        "confidence",
        "experts",
        "store",
        "engine",
        "utility_labeler",
    ),
}
TOP = "cli"  # may use everything, and nothing uses it but what starts it
ONLY_IN = {
    "sentence_transformers": ("experts", "training"),
    "chromadb": ("store",),
    "Stemmer": ("data",),
    "charset_normalizer": ("data",),
    "markitdown": ("data",),
    "pathspec": ("data",),
    "semantic_text_splitter": ("data",),
    "yaml": ("data",),
    "fastembed": ("experts",),
    "onnx": ("experts",),
    "onnxruntime": ("experts",),
    "httpx": ("json_client", "store"),
    "model2vec": ("experts",),
    "tenacity": ("json_client",),
    "transformers": ("experts", "training", "utility_labeler", "cli"),  # the last to silence its logs
    "langchain_core": (),
    "langchain": (),
    "llama_index": (),
    "typer": ("cli",),
    "tqdm": ("data",),
    "rich": ("cli",),
    "accelerate": ("training",),
    "datasets": ("training", "evaluation"),
    "mteb": ("evaluation",),
    "bm25s": ("utility_labeler",),
    "ray": ("ray_pool",),
    "gguf": (),
    "peft": ("training",),
    "jinja2": ("evaluation",),
    "matplotlib": ("evaluation",),
    "PIL": ("evaluation",),
}
PUBLIC = {
    "AddReport",
    "CalibrationPairs",
    "ConfidenceReport",
    "CoverageReport",
    "Embedder",
    "Engine",
    "Expert",
    "GaussianEmbedding",
    "Hit",
    "Label",
    "LexicalOptions",
    "Location",
    "Recipe",
    "Record",
    "Rescoring",
    "SearchResult",
    "__version__",
    "fit_posterior",
    "label_utilities",
    "languages",
    "pseudo_pairs",
    "split_records",
}


def part_of(module):
    """`uec_retriever.laplace.files` -> `laplace`."""
    return module.split(".")[1]


def imports(source, module):
    """Full names of all modules that a source imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *([base] if base else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def violations(module, source):
    """What a module imports against the rules."""
    mine = part_of(module)
    for name in sorted(imports(source, module)):
        top, *rest = name.split(".")
        if top in ONLY_IN and mine not in ONLY_IN[top]:
            yield f"{module} imports {top}"
        if top != "uec_retriever" or not rest or rest[0] == mine or mine == TOP:
            continue
        if rest[0] not in MAY_USE[mine]:
            yield f"{module} imports {name}"


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts != ("uec_retriever", "__init__"):  # it names every home, for type checkers
            yield ".".join(parts), path.read_text(encoding="utf-8")


def test_imports_follow_the_arrows():
    found = list(modules())
    assert {part_of(name) for name, _ in found} == {*MAY_USE, TOP}
    assert [v for name, source in found for v in violations(name, source)] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("uec_retriever.gaussian", "from uec_retriever.laplace.basis import variance_basis"),
        ("uec_retriever.laplace.basis", "from uec_retriever import convolution"),
        ("uec_retriever.laplace.basis", "from ..similarity import moments"),
        ("uec_retriever.convolution", "import uec_retriever.similarity"),
        ("uec_retriever.similarity", "def f():\n    from uec_retriever.laplace.files import save"),
        ("uec_retriever.experts.expert", "from uec_retriever.store.manifest import Manifest"),
        ("uec_retriever.data.records", "from uec_retriever.gaussian import Array"),
        ("uec_retriever.confidence.model", "from uec_retriever.store.chroma import ChromaStore"),
        ("uec_retriever.store.chroma", "from uec_retriever.experts.expert import Expert"),
        ("uec_retriever.store.chroma", "from uec_retriever.engine.results import Hit"),
        ("uec_retriever.engine.engine", "from uec_retriever.cli import main"),
        ("uec_retriever.engine.engine", "import chromadb.api"),
        ("uec_retriever.cli.common", "from chromadb.config import Settings"),
        ("uec_retriever.engine.engine", "def f():\n    import sentence_transformers"),
        ("uec_retriever.engine.engine", "from langchain_core.documents import Document"),
        ("uec_retriever.data.pairs", "from transformers import AutoModel"),
        ("uec_retriever.training.loop", "from uec_retriever.engine.engine import Engine"),
        ("uec_retriever.engine.engine", "from datasets import Dataset"),
        ("uec_retriever.utility_labeler.run", "from uec_retriever.training.loss import x"),
        ("uec_retriever.utility_labeler.local", "import sentence_transformers"),
        ("uec_retriever.training.data", "import ray.data"),
        ("uec_retriever.engine.ray_encoder", "import ray"),
        ("uec_retriever.ray_pool", "from uec_retriever.engine.add import encode"),
        ("uec_retriever.engine.engine", "def f():\n    from mteb import evaluate"),
        ("uec_retriever.evaluation.metrics", "from uec_retriever.cli.app import app"),
        ("uec_retriever.engine.engine", "from uec_retriever.utility_labeler.labels import Label"),
    ],
)
def test_the_walk_sees_violations(module, source):
    assert list(violations(module, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("uec_retriever.laplace.files", "from uec_retriever.laplace.posterior import Posterior"),
        ("uec_retriever.laplace.files", "from .posterior import Posterior"),
        ("uec_retriever.experts.expert", "from uec_retriever.gaussian import Array\nimport transformers"),
        ("uec_retriever.store.chroma", "import chromadb"),
        ("uec_retriever.cli.common", "from uec_retriever.engine.engine import Engine"),
    ],
)
def test_the_walk_lets_pass_what_is_allowed(module, source):
    assert list(violations(module, source)) == []


def loaded_after(statement):
    """Which heavy modules a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_after("import uec_retriever; dir(uec_retriever)") == set()


def test_that_check_sees_every_one_of_them():
    """On stand-ins, since not all are installed; and on a real import."""
    stand_ins = f"import sys, types\nfor n in {HEAVY!r}: sys.modules[n] = types.ModuleType(n)"
    assert loaded_after(stand_ins) == set(HEAVY)
    assert "torch" in loaded_after("import uec_retriever.laplace.files")


def test_public_names():
    assert set(uec_retriever.__all__) == PUBLIC
    assert len(uec_retriever.__all__) == len(PUBLIC)
    assert all(getattr(uec_retriever, name) is not None for name in PUBLIC)
    with pytest.raises(AttributeError, match="no attribute 'Retriever'"):
        uec_retriever.Retriever  # noqa: B018


@pytest.mark.parametrize("name", ["UECRetriever", "UAEEmbedding"])
def test_framework_classes_say_where_they_live(name):
    with pytest.raises(ImportError) as refusal:
        exec(f"from uec_retriever import {name}")
    for part in ("pip install langchain-uec", "pip install llama-index-retrievers-uec", f"import {name}"):
        assert part in str(refusal.value)


def test_a_type_has_one_name_in_one_place():
    """Of aliases such as `Progress = Callable[[int], None]`, by what they stand for."""
    places = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Callable["):
                name = ast.unparse(node.targets[0])
                places.setdefault((name.lstrip("_"), ast.unparse(node.value)), []).append(path.name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
