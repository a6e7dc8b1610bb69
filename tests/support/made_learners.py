"""Learners that are given their noise, on points around one centre a class."""

from collections.abc import Callable, Iterator

import numpy as np

from dmlbench.data.items import Data, Items
from dmlbench.retrieval import evaluate
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.trial import Part, Trial
from dmlbench.training.learner_state import State


def make_trial(kind: str = "loss", seed: int = 0, **validation: object) -> Trial:
    protocol = load_protocol("small")
    for key, value in validation.items():
        protocol = protocol.change(f"validation.{key}", str(value))
    return Trial(
        dataset=Part(reference="x", name="x"),
        fingerprint="",
        protocol=protocol,
        parts={kind: Part(reference="y", name="y")},
        seed=seed,
    )


def clouds(classes: int, first: int, spread: float, seed: int, size: int = 5) -> Items:
    """Return points ``[N, 8]`` around one centre a class, labelled from `first` on."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(first, first + classes), size)
    centres = rng.normal(size=(classes, 8))
    points = centres[labels - first] + rng.normal(0, spread, (len(labels), 8))
    return Items(points.astype(np.float32), labels)


DATA = Data(
    {"train": clouds(8, 0, 0.5, seed=1), "test": clouds(6, 8, 0.5, seed=2)}, ("a",) * 14, ""
)


def blurred(noise: float) -> Callable[[Items], np.ndarray]:
    """Return an embedding that is worse the more noise is added; the same for the same items."""

    def embed(items: Items) -> np.ndarray:
        rng = np.random.default_rng(len(items))
        return items.inputs + rng.normal(0, noise, items.inputs.shape).astype(np.float32)

    return embed


class Learner:
    """Goes through epochs of given noise, on validation classes and on test classes apart."""

    def __init__(self, *noises: float | tuple[float, float]) -> None:
        self.noises = noises
        self.given: list[Items] = []
        self.finished = False

    def __call__(self, items: Items) -> Iterator[State]:
        self.given.append(items)
        for epoch, noise in enumerate(self.noises):
            yield State(epoch, None if epoch == 0 else 0.5, self.embedding(noise), {"epoch": epoch})
        self.finished = True

    def embedding(self, noise: float | tuple[float, float]) -> Callable[[Items], np.ndarray]:
        train, test = noise if isinstance(noise, tuple) else (noise, noise)
        return lambda items: blurred(test if items.labels.min() >= 8 else train)(items)


def ignore(epoch: object) -> None:
    pass


RECALL_AT = (1, 2, 4)


def metrics(embed: Callable[[Items], np.ndarray], items: Items) -> dict[str, float]:
    result = evaluate(embed(items), items.labels, recall_at=RECALL_AT)
    recall = {f"recall@{k}": value for k, value in result.recall_at.items()}
    return {**recall, "r_precision": result.r_precision, "map_at_r": result.map_at_r}


NINE_EPOCHS = (3.0, 2.0, 2.5, 1.0, 0.0, 2.0, 0.4, 0.1, 2.0)  # the best of all is epoch 4
