"""Tiny models, posteriors and frozen normalisation layers for the tests of the encoders."""

import contextlib
import copy
import functools

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding

from devtools.tiny import HIDDEN, tiny_transformer, tokenizer
from tests.embeddings_server import EmbeddingServer
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.linearised import LinearisedModel
from uec_retriever.laplace.posterior import DiagonalPosterior, KroneckerPosterior

WORDS = "the boundary layer flow supersonic aircraft pressure cat dog bird red green hello world".split()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny matrices only lose by threads, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def texts():
    """Eight texts of 1 to 26 words, shuffled so that no length order can help."""
    lengths = [3, 26, 1, 9, 14, 2, 20, 6]
    return [" ".join(WORDS[(3 * i + j) % len(WORDS)] for j in range(n)) for i, n in enumerate(lengths)]


@pytest.fixture(scope="session")
def transformer(tmp_path_factory):
    """A fresh tiny Transformer by architecture and seed; made once, then copied."""

    @functools.cache
    def made(architecture, seed):
        return tiny_transformer(tmp_path_factory.mktemp("tiny"), architecture, seed=seed)

    return lambda architecture, seed=0: copy.deepcopy(made(architecture, seed))


@pytest.fixture(scope="session")
def tiny(transformer):
    """A tiny model by architecture and pooling; see `devtools.tiny`."""

    def make(architecture="bert", *, pooling="mean", seed=0, **options):
        modules = [transformer(architecture, seed), Pooling(HIDDEN, pooling_mode=pooling), Normalize()]
        return SentenceTransformer(modules=modules, device="cpu", **options)

    return make


@pytest.fixture(scope="session")
def with_head(transformer):
    """A tiny BERT with modules of its own after mean pooling, or instead of the pooling."""

    def make(*modules, pooling=True, **options):
        middle = [Pooling(HIDDEN)] if pooling else []
        modules = [transformer("bert"), *middle, *modules, Normalize()]
        return SentenceTransformer(modules=modules, device="cpu", **options)

    return make


@pytest.fixture
def static():
    """A random StaticEmbedding of dimension 16 over the tiny vocabulary."""

    def make(**options):
        torch.manual_seed(0)
        words = tokenizer()
        weights = torch.randn(len(words), 16)
        module = StaticEmbedding(words, embedding_weights=weights)
        return SentenceTransformer(modules=[module], device="cpu", **options)

    return make


@pytest.fixture
def posterior():
    """A random posterior that fits an expert; without texts, curvature has no say in it."""

    def make(expert, structure="diag"):
        generator = torch.Generator().manual_seed(0)
        d, i = expert.head.shape
        is_bag = isinstance(expert.head, LinearisedModel) and expert.last_layer.is_bag
        common = {"count": 10, "prior_precision": 2.0, "tau": 0.05}
        if structure == "diag":
            return DiagonalPosterior(**common, fisher=torch.rand(i, d, generator=generator))
        values, vectors = torch.rand(i, generator=generator) + 0.01, None
        if not is_bag:
            vectors = torch.linalg.qr(torch.randn(i, i, generator=generator))[0]
        root = torch.randn(d, d, generator=generator)
        return KroneckerPosterior(
            **common, feature_values=values, feature_vectors=vectors, output_factor=root @ root.T / d
        )

    return make


@pytest.fixture
def expert(posterior):
    """An expert with a random posterior around a model."""

    def make(model, structure="diag"):
        made = Expert(model, "tiny")
        return made.with_posterior(posterior(made, structure))

    return make


@pytest.fixture
def serve():
    """Servers of embeddings, see `embeddings_server`; they stop with the test."""
    with contextlib.ExitStack() as running:
        yield lambda *args, **options: running.enter_context(EmbeddingServer(*args, **options))


@pytest.fixture(scope="session")
def raw_embedding():
    """z of texts: the model without its final L2 normalisation, `[n, D]`."""

    def run(model, texts, prompt=None):
        features = model.preprocess(texts, prompt=prompt)
        with torch.no_grad():
            for module in model:
                if not isinstance(module, Normalize):
                    features = module(features)
        return features["sentence_embedding"][:, : model.truncate_dim]

    return run


@pytest.fixture(scope="session")
def frozen(raw_embedding):
    """Keep mean and scale of normalisation layers as they are for `texts`, whatever enters them then.

    Gains and scales are the test's own reading of the modules, not the library's.
    """

    @contextlib.contextmanager
    def freeze(model, names, texts, prompt=None):
        modules = [model.get_submodule(name) for name in names]
        seen = {}
        hooks = [m.register_forward_hook(lambda m, x, y: seen.update({m: (x[0], y)})) for m in modules]
        raw_embedding(model, texts, prompt)
        for hook in hooks:
            hook.remove()

        def replacement(module):
            entered, left = seen[module]
            gain, scale = gain_and_scale(module, entered)
            return lambda x: left + gain * (x - entered) / scale

        for module in modules:
            module.forward = replacement(module)
        try:
            yield
        finally:
            for module in modules:
                del module.forward

    return freeze


def gain_and_scale(norm, x):
    """Gain `[D]` and scale `[..., 1]` of a LayerNorm or RMSNorm at its input `x`, by its definition."""
    if isinstance(norm, torch.nn.LayerNorm):
        return norm.weight, (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt()
    epsilon = getattr(norm, "variance_epsilon", None) or norm.eps
    gain = 1 + norm.weight if "Gemma" in type(norm).__name__ else norm.weight
    return gain, (x.pow(2).mean(-1, keepdim=True) + epsilon).sqrt()


@pytest.fixture(scope="session")
def draw():
    """Draws of dW `[D, I]` from a posterior, by its definition and not by the library's propagation."""

    def sample(posterior, draws, columns=None, seed=0):
        generator = torch.Generator().manual_seed(seed)
        if posterior.structure == "diag":
            total = posterior.count * posterior.fisher + posterior.prior_precision
            total = total if columns is None else total[columns]
            deviation = (posterior.scale / total).sqrt().T.contiguous()
            for _ in range(draws):
                yield deviation * torch.randn(deviation.shape, generator=generator)
            return
        values, vectors = posterior.feature_values, posterior.feature_vectors
        outputs = posterior.output_factor
        inputs = len(values if vectors is None else vectors)
        ratio = (values.sum() / inputs / outputs.diagonal().mean()).sqrt()
        root = (posterior.prior_precision / posterior.count) ** 0.5
        b, u = torch.linalg.eigh(outputs.double() + root / ratio * torch.eye(len(outputs)).double())
        left = (u * (posterior.scale / posterior.count / b).sqrt()).float()
        right = (1 / (values + ratio * root)).sqrt()
        right = right if columns is None else right[columns]
        for _ in range(draws):
            if vectors is None:
                yield left @ torch.randn(len(left), len(right), generator=generator) * right
                continue
            noise = left @ torch.randn(len(left), inputs, generator=generator)
            known = noise @ vectors  # the posterior keeps only these directions; the rest has damping alone
            rest = (noise - known @ vectors.T) / (ratio * root) ** 0.5
            yield (known * right) @ vectors.T + rest

    return sample
