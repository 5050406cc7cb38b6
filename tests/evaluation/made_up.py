"""Tiny experts, and test data in the words they know."""

import numpy as np

from devtools.tiny import tiny_model
from uec_retriever.experts.expert import Expert

WORDS = "flow heat wing layer pressure model small large red green blue cat dog bird hello world word text".split()


def tiny_experts(folder, *architectures):
    """One expert of each architecture, labels `<architecture><number>`."""
    return [
        Expert(tiny_model(folder / f"{a}{i}", a, seed=i), a, label=f"{a}{i}")
        for i, a in enumerate(architectures)
    ]


def sentence(random, length=6):
    return " ".join(random.choice(WORDS, length))


def write_pairs(folder, number=40, train=240):
    """Pairs whose gold score is how many words were left as they are."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, count in (("pairs", number), ("train", train)):
        lines = []
        for _ in range(count):
            words = sentence(random).split()
            kept = int(random.integers(0, 7))
            other = [*words[:kept], *random.choice(WORDS, 6 - kept)]
            lines.append(f"{5 * kept / 6:.2f}\t{' '.join(words)}\t{' '.join(other)}\n")
        if count:
            (folder / f"{name}.tsv").write_text("".join(lines))
    return folder


def write_intents(folder, labels=4, train=24, test=10, strange=12):
    """Texts of a label share its word; strange ones have words of their own."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    chosen, rest = WORDS[:labels], WORDS[labels:-4]
    for name, count in (("train", train), ("test", test)):
        lines = [
            f"{label}\t{label} {' '.join(random.choice(rest, 3))} {label}\n"
            for label in chosen
            for _ in range(count)
        ]
        (folder / f"{name}.tsv").write_text("".join(lines))
    odd = [f"oos\t{' '.join(random.choice(WORDS[-4:], 5))}\n" for _ in range(strange)]
    if strange:
        (folder / "oos_test.tsv").write_text("".join(odd))
    return folder
