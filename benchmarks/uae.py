"""The UAE table: label with a local LLM, train, compare with the base, the baselines and re-rankers.

    python -m benchmarks.uae                                         # qasper, SmolLM2 as the judge
    python -m benchmarks.uae --sets covidqa --questions 200 --candidates 8
    python -m benchmarks.uae --judges SmolLM2-135M-Instruct gemma-3-270m   # a weaker against a stronger judge
    python -m benchmarks.uae --sets covidqa qasper_dev_evidence --transfer # train on one, test on the other
    python -m benchmarks.uae --rerank --answers 100                        # re-rankers, composition, Token F1
    python -m benchmarks.uae --tests musique_100 pubmedqa                  # sets that nothing was trained on

Options are chosen with `--split train` (its questions that are not labelled) and `--group-candidates`, `--lr`, ...

Every step is kept in `--work`: an interrupted labelling or training goes on where it stopped, and what is
finished is not done again. Labels and the choice of checkpoints use the train split only, the table is of
the test split. Labels of a set and judge are shared by all losses.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from benchmarks.common import PROVENANCE, ROOT, SEED, console, data_folder, save_result
from devtools.models import GEMMA3, MINILM, MPNET, SMOLLM2, real_llm, real_model
from uec_retriever.cli.eval_options import show_tables
from uec_retriever.data.corpus import Corpus
from uec_retriever.data.provenance import digest
from uec_retriever.evaluation.collection import load_collection
from uec_retriever.evaluation.rerankers import Answerer, CrossEncoderReranker, LikelihoodReranker, Reranker
from uec_retriever.evaluation.uae import UaeOptions, run_uae
from uec_retriever.experts.loading import load_cross_encoder
from uec_retriever.training import LOSSES, TrainingOptions, train_on_labels
from uec_retriever.training.checkpoints import REPORT
from uec_retriever.training.options import Loss
from uec_retriever.utility_labeler.labels import read_labels
from uec_retriever.utility_labeler.local import LocalJudge
from uec_retriever.utility_labeler.mining import BM25, Mining, Passages, mine
from uec_retriever.utility_labeler.questions import Questions
from uec_retriever.utility_labeler.run import label_utilities

SETS = ("qasper_dev_evidence",)
UAE = "uae"
_NAMES = {"infonce": "InfoNCE (argmax)", "distill": "DistillKLDiv", "uae": "UAE"}


def main() -> None:
    """Run, print, save."""
    arguments = _arguments()
    judges = {name: LocalJudge.load(str(real_llm(name))) for name in arguments.judges}
    results: dict[str, Any] = {}
    training: dict[str, Any] = {}
    for judge_name, judge in judges.items():
        labels = {name: label(arguments, name, judge_name, judge) for name in arguments.sets}
        models = {
            (name, loss): train_one(arguments, name, judge_name, labels[name], loss)
            for name in arguments.sets
            for loss in arguments.losses
        }
        for (name, loss), path in models.items():
            training[f"{name}, judge {judge_name}, {loss}"] = _figures(path)
        for tested in dict.fromkeys([*arguments.sets, *arguments.tests]):
            result = evaluate(arguments, tested, labels, models, judge)
            results[f"{tested}, judge {judge_name}"] = result
    options = {k: v for k, v in vars(arguments).items() if k != "cross_encoders" and not isinstance(v, Path)}
    options["models"] = [model.split("=", 1)[0] for model in arguments.models]
    content = {"split": arguments.split, "options": options, "results": results, "training": training}
    save_result(arguments.name, content, arguments.out)
    show_tables({**content, **PROVENANCE}, "uae")


def label(arguments: argparse.Namespace, name: str, judge_name: str, judge: LocalJudge) -> Path:
    """Utilities of candidates of a random sample of a set's train questions."""
    folder = data_folder() / name
    questions = sorted(Questions(folder, split="train", skip_unanswered=True), key=lambda q: q.id)
    random.Random(SEED).shuffle(questions)
    passages = Passages(d.record for d in Corpus(folder))
    grouped = arguments.group_candidates if passages.groups else 0
    mining = Mining(arguments.candidates, arguments.random_share, seed=SEED, group_candidates=grouped)
    pairs = list(mine(questions[: arguments.questions], passages, BM25(passages), mining))
    out = _folder(arguments, name, judge_name) / "labels.jsonl"
    done = 0

    def progress(number: int) -> None:
        nonlocal done
        done += number
        console.print(f"{name}, {judge_name}: {done} of {len(pairs)} labels")

    label_utilities(judge, pairs, out, progress=progress, data={"dataset": name, "split": "train"})
    return out


def train_one(arguments: argparse.Namespace, name: str, judge_name: str, labels: Path, loss: Loss) -> Path:
    """A model of one loss, on one set's labels."""
    options = TrainingOptions(
        loss=loss,
        epochs=arguments.epochs,
        learning_rate=arguments.lr,
        batch_size=arguments.batch_size,
        tau_u=arguments.tau_u,
        margin=arguments.margin,
        minimum_utility=arguments.minimum_utility,
        max_length=arguments.max_length,
        candidates=arguments.candidates + arguments.group_candidates,
        seed=SEED,
    )
    run = digest([options.to_dict(), labels.read_text(encoding="utf-8")])[:12]  # another run is another model
    out = _folder(arguments, name, judge_name) / f"{arguments.base}-{loss}-{run}"
    if (out / REPORT).is_file():
        return out
    report = train_on_labels(str(real_model(arguments.base)), labels, out, options, resume=True)
    console.print(
        f"{name}, {judge_name}, {loss}: held-out nDCG@10 {report.before['ndcg@10']:.4f} -> "
        f"{report.after['ndcg@10']:.4f} at step {report.best_step} of {report.steps}, {report.seconds:.0f} s"
    )
    return out


def evaluate(
    arguments: argparse.Namespace,
    tested: str,
    labels: dict[str, Path],
    models: dict[tuple[str, Loss], Path],
    judge: LocalJudge,
) -> dict[str, Any]:
    """The table of one test set."""
    collection = load_collection(data_folder() / tested, arguments.split)
    if arguments.split == "train":
        seen = {x.question_id for x in read_labels(labels[tested])} if tested in labels else set()
        collection = replace(collection, queries=[q for q in collection.queries if q.id not in seen])
    collection = collection.sample(arguments.queries, SEED)
    systems = {"base": SentenceTransformer(str(real_model(arguments.base)), device="cpu")}
    for (trained_on, loss), path in models.items():
        if trained_on == tested:
            systems[_NAMES[loss]] = SentenceTransformer(str(path), device="cpu")
        elif loss == UAE and (arguments.transfer or tested in arguments.tests):
            systems[f"UAE of {trained_on}"] = SentenceTransformer(str(path), device="cpu")
    for label, path in (model.split("=", 1) for model in arguments.models):
        systems[label] = SentenceTransformer(path, device="cpu")
    answerer = Answerer(judge, max_tokens=arguments.max_tokens) if arguments.answers else None
    rerankers: dict[str, Reranker] = {
        path.name: CrossEncoderReranker(load_cross_encoder(str(path))) for path in arguments.cross_encoders
    }
    if arguments.rerank:
        rerankers["LLM"] = LikelihoodReranker(judge, max_tokens=arguments.max_tokens)
    options = UaeOptions(
        rerank_depth=arguments.rerank_depth,
        answers=arguments.answers,
        compose=min((x for x in systems if rerankers and x.startswith(_NAMES[UAE])), key=len, default=None),
        scopes=arguments.scopes,
        seed=SEED,
    )
    last = ""

    def progress(what: str, done: int, total: int) -> None:
        nonlocal last
        if what != last or (total and done % 25 == 0):
            console.print(f"{tested}: {what} {done}/{total}" if total else f"{tested}: {what}")
        last = what

    return run_uae(collection, systems, options, rerankers=rerankers, answerer=answerer, progress=progress)


def _folder(arguments: argparse.Namespace, name: str, judge_name: str) -> Path:
    size = f"{arguments.questions or 'all'}x{arguments.candidates}+{arguments.group_candidates}"
    folder: Path = arguments.work / f"{name}-{judge_name}-{size}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _figures(model: Path) -> dict[str, Any]:
    """Of a training report what does not name a folder of this machine."""
    report = json.loads((model / REPORT).read_text(encoding="utf-8"))
    kept = (
        "questions",
        "candidates",
        "heldout_questions",
        "steps",
        "best_step",
        "before",
        "after",
        "seconds",
    )
    return {key: report[key] for key in (*kept, "options", "history")}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    defaults = TrainingOptions()
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument(
        "--tests", nargs="+", default=[], help="sets to test on only, with the UAE models of the others"
    )
    parser.add_argument(
        "--split", default="test", help="train: its questions without labels, for choosing options"
    )
    parser.add_argument("--judges", nargs="+", default=[SMOLLM2], choices=[SMOLLM2, GEMMA3])
    parser.add_argument("--base", default=MINILM, choices=[MINILM, MPNET])
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), choices=LOSSES)
    parser.add_argument("--questions", type=int, default=260, help="train questions to label; 0 for all")
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument(
        "--group-candidates",
        type=int,
        default=4,
        help="more of the question's own group, where there are groups",
    )
    parser.add_argument("--random-share", type=float, default=0.25)
    parser.add_argument("--epochs", type=float, default=defaults.epochs)
    parser.add_argument("--lr", type=float, default=defaults.learning_rate)
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size, help="questions in a batch")
    parser.add_argument("--minimum-utility", type=float, default=0.5)
    parser.add_argument("--tau-u", type=float, default=defaults.tau_u)
    parser.add_argument("--margin", type=float, default=defaults.margin)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--queries", type=int, help="at most this many test questions")
    parser.add_argument("--scopes", nargs="+", choices=["corpus", "group"])
    parser.add_argument(
        "--rerank", action="store_true", help="LLM query likelihood over the base's candidates"
    )
    parser.add_argument(
        "--models", nargs="+", default=[], metavar="LABEL=FOLDER", help="more bi-encoders to compare"
    )
    parser.add_argument(
        "--cross-encoders", nargs="+", type=Path, default=[], help="folders; they re-rank too"
    )
    parser.add_argument("--rerank-depth", type=int, default=10)
    parser.add_argument("--answers", type=int, default=0, help="test questions answered for Token F1")
    parser.add_argument("--max-tokens", type=int, default=512, help="of the LLM's prompts in the evaluation")
    parser.add_argument("--transfer", action="store_true", help="test UAE models of the other sets too")
    parser.add_argument("--work", type=Path, default=ROOT / ".cache" / "uae", help="labels and models")
    parser.add_argument("--name", default="uae", help="of the JSON file")
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    arguments = parser.parse_args()
    arguments.questions = arguments.questions or None
    arguments.scopes = tuple(arguments.scopes) if arguments.scopes else None
    return arguments


if __name__ == "__main__":
    main()
