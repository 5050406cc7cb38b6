"""Training that is killed at a step, and what a model makes of texts."""

from sentence_transformers import SentenceTransformer

TEXTS = ["a wing of the aircraft", "cat", "what is heat flow to the boundary layer"]


def embeddings(path):
    return SentenceTransformer(str(path), device="cpu").encode_query(TEXTS)


class Killed(BaseException):
    """Ends a run wherever it is, as a kill does."""


def killer(at):
    def progress(step, total, metrics):
        if step == at and not metrics:
            raise Killed

    return progress
