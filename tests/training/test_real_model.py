"""A short training of real weights."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from uec_retriever.experts.expert import Expert
from uec_retriever.training import GradedPassage, GradedQuestion, TrainingOptions, train

FACTS = [
    ("what keeps a wing up?", "Lift is the force that holds an aircraft in the air.", "Cats sleep a lot."),
    ("how hot is the sun?", "The surface of the sun has about 5,500 degrees Celsius.", "The moon is grey."),
    ("who wrote Faust?", "Faust is a tragedy by Johann Wolfgang von Goethe.", "Bread needs flour."),
    ("what do bees make?", "Honey is made by bees from nectar.", "Ships need harbours."),
    ("where is Lisbon?", "Lisbon is the capital of Portugal.", "Iron rusts in rain."),
    ("what is ice?", "Ice is water frozen into a solid.", "Trains run on rails."),
]


@pytest.mark.models
def test_minilm_learns_and_stays_a_plain_model(minilm, tmp_path):
    questions = [
        GradedQuestion(
            str(i), q, (GradedPassage(f"{i}-good", good, 1.0), GradedPassage(f"{i}-bad", bad, -0.5))
        )
        for i, (q, good, bad) in enumerate(FACTS)
    ]
    options = TrainingOptions(
        epochs=1, batch_size=3, max_length=24, heldout=0.0, warmup=0, learning_rate=1e-4
    )
    report = train(minilm, questions, tmp_path / "m", options, device="cpu")
    assert report.steps == 2
    texts = [q for q, _, _ in FACTS]
    model = SentenceTransformer(str(tmp_path / "m"), device="cpu")
    assert model.max_seq_length == SentenceTransformer(minilm, device="cpu").max_seq_length
    ours = model.encode(texts)
    assert not np.allclose(ours, SentenceTransformer(minilm, device="cpu").encode(texts), atol=1e-4)
    expert = Expert.load(str(tmp_path / "m"), device="cpu").linearise(texts, "query").embeddings.numpy()
    np.testing.assert_allclose(expert / np.linalg.norm(expert, axis=1, keepdims=True), ours, atol=1e-5)
