"""Made-up result files, in the shape that `uec eval` and the benchmarks write. No figure here was measured."""

import numpy as np

from benchmarks.probability_report import probability_report
from benchmarks.scaling_report import scaling_report

EXPERTS = ("biomedical", "tools", "legal", "science")
DOMAINS = {
    "covidqa": ("biomedical", 0.34),
    "metatool": ("tools", 0.58),
    "policyqa": ("legal", 0.22),
    "qasper_dev_evidence": ("science", 0.28),
    "cranfield": ("aeronautics", 0.41),
    "techqa_130": ("support", 0.55),
    "hotpotqa_100": ("general", 0.82),
}
# label -> kind, shift of the mean against uniform
METHODS = {
    **{e: ("single", -0.05 + 0.01 * i) for i, e in enumerate(EXPERTS)},
    "uniform": ("ensemble", 0.0),
    "weighted": ("ensemble", 0.004),
    "RRF": ("fusion", -0.012),
    "merged uniform": ("merged", -0.006),
    "merged task arithmetic": ("merged", -0.02),
    "UEC diag": ("uec", 0.002),
    "UEC kron": ("uec", 0.022),
    "UEC kron, no similarity": ("ablation", 0.021),
    "UEC kron, no coefficients": ("ablation", 0.001),
    "UEC kron, neither": ("ablation", 0.0),
    "oracle domain": ("oracle", 0.02),
    "oracle query": ("oracle", 0.09),
}
STAGES = {
    "encode documents": 41.0,
    "encode queries": 6.2,
    "fit posteriors": 12.5,
    "coefficients": 0.4,
    "scores": 1.9,
    "metrics": 3.1,
}


def provenance(name="retrieval"):
    return {
        "command": f"python -m benchmarks.{name} --made-up",
        "commit": "0123456789ab",
        "versions": {"python": "3.11.7", "uec-retriever": "0.1.0", "numpy": "2.4.6"},
        "cpus": 2,
        "seed": 0,
        "split": "test",
    }


def interval(values):
    """A normal one: cheap, and good enough for what is made up."""
    mean, half = float(values.mean()), float(1.96 * values.std() / len(values) ** 0.5)
    return {"mean": mean, "low": mean - half, "high": mean + half}


def cell(values, baseline):
    return {**interval(values), "n": len(values), "difference": interval(values - baseline)}


def _values(generator, base, shift, noise=0.08):
    return np.clip(base + shift + noise * generator.standard_normal(len(base)), 0, 1)


def _methods(generator, level, queries, metrics, methods):
    base = np.clip(level + 0.3 * generator.standard_normal(queries), 0, 1)
    found = {label: {"kind": kind, "metrics": {}} for label, (kind, _) in methods.items()}
    for i, metric in enumerate(metrics):
        raised = np.clip(base + 0.04 * i, 0, 1)
        for label, (_, shift) in methods.items():
            values = raised if label == "uniform" else _values(generator, raised, shift)
            found[label]["metrics"][metric] = cell(values, raised)
    return found


def retrieval(seed=0, queries=80, sets=tuple(DOMAINS), methods=None):
    generator = np.random.default_rng(seed)
    metrics = ("nDCG@10", "Recall@10", "Recall@100", "MAP", "MRR@10")
    content = {"kind": "retrieval", **provenance(), "experts": list(EXPERTS), "baseline": "uniform"}
    content["settings"] = {"temperature": "chosen on train", "layout": "block"}
    content["sets"] = {}
    for name in sets:
        domain, level = DOMAINS[name]
        found = _methods(generator, level, queries, metrics, methods or METHODS)
        for label, sharp in (("UEC diag", 0.3), ("UEC kron", 2.5)):
            if label in found:
                logits = generator.standard_normal(len(EXPERTS)) * 0.2
                logits += [sharp * (e == domain) for e in EXPERTS]
                weights = np.exp(logits) / np.exp(logits).sum()
                found[label]["coefficients"] = dict(zip(EXPERTS, map(float, weights), strict=True))
        coverage = [round(0.1 * i, 1) for i in range(1, 11)]
        curves = {}
        for label in ("uniform", "UEC diag", "UEC kron"):
            if label in found:
                mean = found[label]["metrics"]["nDCG@10"]["mean"]
                gain = generator.uniform(0.1, 0.3)
                curve = {
                    "coverage": coverage,
                    "nDCG@10": [min(1.0, mean + gain * (1 - c) ** 2) for c in coverage],
                }
                curves[label] = {"nAUC": float(gain * 2), "AUC@10": float(mean), "curve": curve}
        content["sets"][name] = {
            "documents": 2000, "queries": queries, "domain": domain, "scope": "corpus",
            "methods": found, "abstention": curves,
            "stages": {k: float(v * generator.uniform(0.5, 1.5)) for k, v in STAGES.items()},
        }  # fmt: skip
    content["mean"] = {m: {k: _mean(content, m, k) for k in metrics} for m in methods or METHODS}
    content["chosen"] = {"UEC kron": {"temperature": 0.2, "on": "train pairs"}}
    return content


def _mean(content, label, metric):
    cells = [one["methods"][label]["metrics"][metric] for one in content["sets"].values()]
    averages = {k: float(np.mean([c[k] for c in cells])) for k in ("mean", "low", "high")}
    difference = {k: float(np.mean([c["difference"][k] for c in cells])) for k in ("mean", "low", "high")}
    return {**averages, "difference": difference}


def reliability(seed=0, labels=("cosine", "UEC kron, before", "UEC kron, after")):
    generator = np.random.default_rng(seed)
    found = {}
    for i, label in enumerate(labels):
        bins, gaps, total = [], 0.0, 0
        for b in range(10):
            middle, count = (b + 0.5) / 10, int(generator.integers(0, 120))
            accuracy = float(np.clip(middle + (0.25 - 0.1 * i) * np.sin(3 * middle), 0, 1))
            bins.append(
                {
                    "low": b / 10,
                    "high": (b + 1) / 10,
                    "confidence": middle,
                    "accuracy": accuracy,
                    "count": count,
                }
            )
            gaps, total = gaps + count * abs(middle - accuracy), total + count
        found[label] = {"ECE": gaps / total, "Var-ECE": None, "bins": bins}
        if label.startswith("UEC"):
            variances = [(0.01 * b, 0.004 * b + 0.01 * generator.uniform()) for b in range(1, 11)]
            found[label]["Var-ECE"] = 0.5 * gaps / total
            found[label]["variance bins"] = [
                {"variance": v, "squared error": e, "count": 30} for v, e in variances
            ]
            found[label]["variance predicts error"] = {"mean": 0.31, "low": 0.22, "high": 0.4}
    return found  # fmt: skip


def calibration():
    """What `benchmarks.calibration` writes: tables and curves of its own."""
    sets = {
        "stsb_en": {
            "documents": 10,
            "reliability": reliability(1),
            "pairs": {"tools, kron": {"relevant pairs": 12, "mean variance": 0.25}},
            "queries predict": {
                "tools, kron": {"mean": 0.1, "low": 0.0, "high": 0.2},
                "legal, kron": None,
            },
        },
        "sick_r": {"reliability": reliability(2)},
    }
    content = {
        "kind": "tables",
        "title": "Calibration",
        **provenance("calibration"),
        "experts": list(EXPERTS),
    }
    return {**content, "sets": sets, **probability_report(sets)}


def sts(seed=1, pairs=120):
    generator = np.random.default_rng(seed)
    content = {
        "kind": "sts",
        **provenance("sts"),
        "experts": list(EXPERTS),
        "baseline": "uniform",
        "sets": {},
    }
    for name, level in (("stsb_en", 0.8), ("sick_r", 0.7)):
        found = _methods(generator, level, pairs, ["Spearman"], METHODS)
        methods = {m: {"kind": v["kind"], **v["metrics"]} for m, v in found.items()}
        content["sets"][name] = {"pairs": pairs, "methods": methods, "reliability": reliability(seed)}
    return {**content, **probability_report(content["sets"])}


def classification(seed=2, texts=150):
    generator = np.random.default_rng(seed)
    content = {
        "kind": "classification",
        **provenance("classification"),
        "experts": list(EXPERTS),
        "baseline": "uniform",
        "sets": {},
    }
    for name, level in (("banking77", 0.8), ("clinc150", 0.85)):
        found = _methods(generator, level, texts, ["accuracy"], METHODS)
        methods = {
            m: {"kind": v["kind"], **v["metrics"], "macro F1": v["metrics"]["accuracy"]["mean"] - 0.01, "AUROC": 0.97}
            for m, v in found.items()
        }  # fmt: skip
        content["sets"][name] = {"train": 900, "test": texts, "classes": 77, "methods": methods}
    content["sets"]["clinc150"]["out_of_scope"] = {
        "largest probability": {"AUROC": 0.91, "low": 0.89, "high": 0.93},
        "query variance": {"AUROC": 0.71, "low": 0.68, "high": 0.74},
    }
    return content


def study(seed=3, questions=90, dataset="qasper_dev_evidence"):
    """What `uec eval uae` writes, without its provenance."""
    generator = np.random.default_rng(seed)
    shifts = {
        "base": 0.0,
        "InfoNCE (argmax)": 0.03,
        "UAE": 0.06,
        "base + LLM": 0.05,
        "UAE + LLM, blended": 0.09,
    }
    scopes = {}
    for scope, level in (("corpus", 0.2), ("group", 0.65)):
        base = np.clip(level + 0.3 * generator.standard_normal(questions), 0, 1)
        systems = {}
        for label, shift in shifts.items():
            values = base if label == "base" else _values(generator, base, shift)
            row = {
                m: {**cell(values, base), "relative": 0.1} for m in ("Hit@1", "Recall@1", "MAP", "nDCG@10")
            }
            systems[label] = {**row, "milliseconds": 12.5 if "+" not in label else 812.0}
        scopes[scope] = systems
    return {
        "dataset": dataset, "split": "test", "documents": 1249, "queries": questions, "baseline": "base",
        "options": {"rerank_depth": 10}, "scopes": scopes,
    }  # fmt: skip


def uae():
    """What `benchmarks.uae` writes."""
    content = {**provenance("uae"), "options": {"epochs": 1.0}, "training": {}}
    return {**content, "results": {"qasper_dev_evidence, judge SmolLM2": study()}}


def measurements():
    """A result that brings its own tables."""
    rows = [[1000, 4, 0.0123], [100000, 4, 1.2]]
    table = {
        "name": "growth",
        "title": "Seconds by size",
        "columns": ["texts", "experts", "seconds"],
        "rows": rows,
    }
    return {"kind": "tables", **provenance("tables"), "title": "Sizes", "tables": [table]}


def scaling():
    """What `benchmarks.scaling` writes: tables and curves of its own."""
    sweeps = {}
    for symbol, sizes in (("K", [1, 2, 4, 8]), ("D", [64, 256, 1024]), ("N", [1000, 10000, 100000])):
        values = {"coefficients": [0.02] * len(sizes), "dot product": [1e-3 * s for s in sizes]}
        growth = {s: {"exponent": float(i), "low": i - 0.1, "high": i + 0.1} for i, s in enumerate(values)}
        sweeps[symbol] = {
            "sizes": sizes,
            "milliseconds": {"values": values, "growth": growth},
            "bytes kept": {"values": {"variances": [24.0 * s for s in sizes]}, "growth": {}},
        }
    shares = {
        "30": {"full: similarity of the query": 0.004},
        "1000": {"full: similarity of the query": 0.031},
    }
    share = {"MiniLM": {"dimension": 384, "queries": 30, "milliseconds": {}, "candidates": shares}}
    return {**provenance("scaling"), "sweeps": sweeps, "share": share, **scaling_report(sweeps, share)}


ALL = {
    "retrieval": retrieval, "sts": sts, "classification": classification,
    "uae": uae, "tables": measurements,
}  # fmt: skip
