"""What a page says of its protocol: fields that were added later, where they are not as before."""

import pytest

from dmlbench.leaderboard.protocol_facts import protocol_facts
from dmlbench.leaderboard.tables import make_tables
from dmlbench.schemas.protocol_file import load_protocol

SMALL = load_protocol("small")


def facts_with(record, **changes: str) -> dict[str, str]:
    protocol = SMALL
    for key, text in changes.items():
        protocol = protocol.change(key.replace("__", "."), text)
    (table,) = make_tables([record(protocol=protocol, seed=seed) for seed in range(2)])
    return protocol_facts(table)


def test_a_page_says_how_many_classes_are_held_out_and_what_follows(record):
    protocol = SMALL.change("validation.then", "retrain-all")
    rule = "best MAP@R on held-out classes, then retrained on all"
    (table,) = make_tables([record(protocol=protocol, selection=rule)])
    assert protocol_facts(table)["Epoch that counts"] == (
        "best MAP@R on held-out classes (25 % of those of training), then retrained on all; never "
        "chosen on test"
    )


def test_a_page_says_after_which_epochs_the_rate_falls(record):
    own = {"schedule": "milestones", "milestones": (3, 6), "step_factor": 0.1}
    optimiser = SMALL.optimiser.model_copy(update=own)
    (table,) = make_tables([record(protocol=SMALL.model_copy(update={"optimiser": optimiser}))])
    assert "(times 0.1 after epochs 3, 6, " in protocol_facts(table)["Training"]


@pytest.mark.parametrize(
    ("changes", "topic", "words"),
    [
        ({"tuning": "frozen"}, "Network", "(frozen: a linear head learns on its features)"),
        ({"head_init": "orthogonal"}, "Network", ", head initialised: orthogonal"),
        ({"precision": "float16"}, "Network", ", float16"),
        ({"length__min_passes": "2.5"}, "Training", "320 steps, or more for 2.5 passes in all"),
        ({"optimiser__class_vectors_lr": "0.0015"}, "Training", "0.0015 for class vectors (house"),
        (
            {
                "optimiser__class_vectors_lr": "none",
                "optimiser__class_vectors_lr_multiple": "100",
            },
            "Training",
            "100 times the rate for class vectors (house rate)",
        ),
        (
            {"optimiser__decay_norms_and_biases": "false"},
            "Training",
            "weight decay 0.0001 (not of norms and biases)",
        ),
        ({"validation__every": "5"}, "Epoch that counts", "of training, every 5 epochs)"),
    ],
    ids=str,
)
def test_a_page_says_a_field_where_it_is_not_as_before(record, changes, topic, words):
    usual, found = facts_with(record), facts_with(record, **changes)
    assert words in found[topic]
    assert words not in usual[topic]
    differing = {name for name in usual if usual[name] != found[name]}
    assert differing == {topic, "Protocol"}
