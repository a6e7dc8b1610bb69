"""What validation and curves cost, in images; one that is learnt from counts as three."""

import numpy as np
import pytest
from support.made_learners import DATA, NINE_EPOCHS, RECALL_AT, Learner, ignore, make_trial

from dmlbench.data.items import Items
from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.shipped_protocols import protocol_names
from dmlbench.training.learner_state import State
from dmlbench.training.workload import CURVE_ITEMS, workload
from dmlbench.trials.scoring import score_retrieval

TRAINING_ITEMS = {"cub": 5864, "cars": 8054, "sop": 59_551, "inshop": 25_882}
MOST = 0.05


def costs(protocol: Protocol, items: int) -> list[float]:
    """Return images measured over those learnt from, for each epoch that may be selected."""
    choices, length, size = protocol.validation, protocol.length, protocol.batch_size
    retrains = choices.then == "retrain-all"
    held_out = round(choices.class_fraction * items)
    last = length.epochs
    due = [epoch for epoch in range(last + 1) if choices.is_due(epoch, last)]
    measured = len(due) * (held_out + CURVE_ITEMS * (1 if retrains else 2))
    learnt = last * length.steps(items - held_out, size) * size
    if not retrains:
        return [measured / (3 * learnt)]
    found = []
    for selected in due[1:]:
        again = CURVE_ITEMS * sum(choices.is_due(epoch, selected) for epoch in range(selected + 1))
        more = selected * length.steps(items, size) * size
        found.append((measured + again) / (3 * (learnt + more)))
    return found


PHOTOS = [
    name
    for name in protocol_names()
    if load_protocol(name).backbone.startswith("timm/") and not load_protocol(name).frozen
]


@pytest.mark.parametrize("dataset", TRAINING_ITEMS)
@pytest.mark.parametrize("name", PHOTOS)
def test_measuring_costs_less_than_a_twentieth_of_training(name, dataset):
    protocol = load_protocol(name, dataset=dataset)
    assert max(costs(protocol, TRAINING_ITEMS[dataset])) < MOST


@pytest.mark.parametrize("then", ["stop", "retrain-all"])
@pytest.mark.parametrize("every", [1, 3])
def test_the_costs_are_those_of_a_run(every, then):
    embedded = []

    class Counting(Learner):
        def __call__(self, items: Items):
            for state in super().__call__(items):

                def embed(some: Items, embed=state.embed) -> np.ndarray:
                    embedded.append(len(some))
                    return embed(some)

                yield State(state.epoch, state.loss, embed, state.details)

    trial = make_trial(class_fraction=0.5, min_classes=2, every=every, then=then)
    found = score_retrieval(trial, DATA, RECALL_AT, Counting(*NINE_EPOCHS), ignore)
    train, test = (len(DATA.splits[name]) for name in ("train", "test"))
    # All splits are smaller than the sample for curves here.
    of_test = test if then == "stop" else 0
    due = [epoch for epoch in range(9) if epoch % every == 0 or epoch == 8]
    expected = len(due) * (train // 2 + train // 2 + of_test)
    if then == "retrain-all":
        selected = found["selected_epoch"]
        expected += train * len({*range(0, selected + 1, every), selected})
    planned = workload(trial.protocol, DATA)
    if then == "stop" or selected == 8:
        assert planned.measured == expected
    assert planned.measured >= expected
    assert planned.learnt == 8 * 40 * 64 * (1 if then == "stop" else 2)
    assert planned.tested == test
    final = test * (2 if then == "stop" else 1)  # of the selected epoch and of the last
    assert sum(embedded) == expected + final
