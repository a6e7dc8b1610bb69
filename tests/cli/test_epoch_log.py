"""The line of an epoch."""

import pytest
from support.made_records import record

from dmlbench.cli.epoch_log import EpochLog
from dmlbench.schemas.record import Distances, Epoch

PAIR = Distances(positive=0.25, negative=0.5)


@pytest.mark.parametrize(
    ("epoch", "line"),
    [
        (
            Epoch(epoch=0, distances={"test": PAIR}, validation={"map_at_r": 0.125}),
            "epoch 0: test distances 0.250 / 0.500, validation map_at_r 0.1250",
        ),
        (Epoch(epoch=3, loss=0.75), "epoch 3: loss 0.7500"),
        (
            Epoch(epoch=4, loss=0.75, distances={"train": PAIR}, retraining=True),
            "retraining, epoch 4: loss 0.7500, train distances 0.250 / 0.500",
        ),
    ],
)
def test_a_line_says_what_was_measured(epoch, line, capsys):
    trial = record().trial
    EpochLog().dmlbench_epoch_finished(trial=trial, metrics=epoch.model_dump(mode="json"))
    assert capsys.readouterr().out == f"{trial}, {line}\n"
