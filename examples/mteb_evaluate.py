"""A UEC ensemble as a model in MTEB, beside its experts alone, on tasks of our own and without the network.

The tasks are made of the documentation strings of the Python standard library: find the text that a first paragraph
belongs to, and tell which module a text is from. MTEB's own tasks go in the same way:
`mteb.evaluate(model, mteb.get_tasks(tasks=["SciFact"]))`. Run it with `python -m examples.mteb_evaluate`; results are
kept in `.cache/mteb_evaluate`, under the ensemble's name and revision.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.models import MINILM, WORDLLAMA, real_model
from uec_retriever.data.stdlib_docs import docstring_pairs, standard_library_docstrings
from uec_retriever.engine.recipe import Recipe
from uec_retriever.evaluation.mteb_adapter import UECModel
from uec_retriever.evaluation.mteb_tasks import classification_task, retrieval_task

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "mteb_evaluate"
MODULES = "[q-z]*.py"  # docstring_pairs, which the ensemble is calibrated on, come from those before


def make_tasks(limit: int | None = None) -> list[AbsTask]:
    """The two tasks.

    Args:
        limit: of documentation strings.
    """
    found = list(standard_library_docstrings(MODULES))[:limit]
    parts = {name: text.partition("\n\n") for name, text in found}
    whole = {name: (first, rest) for name, (first, _, rest) in parts.items() if rest.strip()}
    retrieval = retrieval_task(
        "DocumentationRetrieval",
        {name: rest for name, (_, rest) in whole.items()},
        {f"about {name}": first for name, (first, _) in whole.items()},
        {f"about {name}": {name: 1} for name in whole},
    )
    modules = [name.rpartition(".")[0] for name, _ in found]
    classes = {module: i for i, (module, n) in enumerate(Counter(modules).most_common(8)) if n >= 8}
    labelled = [
        (text, classes[module]) for (_, text), module in zip(found, modules, strict=True) if module in classes
    ]
    classification = classification_task(
        "ModuleClassification", labelled[::2], labelled[1::2], samples_per_label=4
    )
    return [retrieval, classification]


def main(folder: Path = FOLDER, limit: int | None = None) -> dict[str, dict[str, float]]:
    """Evaluate; returns model -> task -> main score.

    Args:
        folder: for MTEB's results.
        limit: of documentation strings.
    """
    import mteb

    start = time.monotonic()
    paths = {name: str(real_model(name)) for name in (MINILM, WORDLLAMA)}
    ensemble = UECModel.from_experts(list(paths.values()), recipe=Recipe(docstring_pairs()), device="cpu")
    meta = ensemble.mteb_model_meta
    print(
        f"{meta.name}, revision {meta.revision}: {meta.n_parameters:,} parameters, {meta.embed_dim} dimensions"
    )
    models: dict[str, Any] = {
        name: mteb.SentenceTransformerEncoderWrapper(path, device="cpu") for name, path in paths.items()
    }
    models["UEC"] = ensemble
    models["UEC, without words"] = UECModel(ensemble.ensemble, lexical=False)
    models["UEC, by the mean"] = UECModel(ensemble.ensemble, uncertainty=False)
    scores: dict[str, dict[str, float]] = {}
    for label, model in models.items():
        cache = (
            mteb.ResultCache(folder) if isinstance(model, UECModel) else None
        )  # plain folders have no names
        results = mteb.evaluate(model, make_tasks(limit), cache=cache, show_progress_bar=False)
        scores[label] = {r.task_name: r.get_score() for r in results.task_results}
        print(f"{label:20}", *(f"{task} {score:.3f}  " for task, score in scores[label].items()))
    print(f"done in {time.monotonic() - start:.0f} seconds; MTEB's results are in {folder}")
    return scores


if __name__ == "__main__":
    main()
