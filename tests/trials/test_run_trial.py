"""One trial from its description to its record, whatever happens inside."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.official_sets import picture

from dmlbench import Contamination, Pretraining
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.compute.phases import heard_by
from dmlbench.data.items import load_data
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.schemas.record import Epoch, Record
from dmlbench.schemas.trial import Trial
from dmlbench.trials.run_trial import learn, load_once, run_trial
from dmlbench.trials.scoring import score_retrieval
from dmlbench_backbones.small_conv import SmallConv

TrialOf = Callable[..., Trial]


@pytest.fixture
def workplace() -> Workplace:
    return Workplace(Catalogue.discover(), None, torch.device("cpu"))


def without_measurements(record: Record) -> str:
    return record.model_copy(update={"measurements": {}}).to_json()


def data_of(trial: Trial, workplace: Workplace):
    dataset = workplace.make("dataset", trial.dataset)
    return load_data(dataset, None, trial.protocol.image_size)


# What finishes


@pytest.mark.parametrize("row", [{"losses": ("cross-entropy",)}, {"baselines": ("untrained",)}])
def test_a_record_says_what_the_backbone_was_trained_on(trial_of, workplace, monkeypatch, row):
    trial = trial_of(**row)
    assert "pretraining" not in run_trial(trial, workplace).details
    told = Pretraining("pictures", "mit", {trial.dataset.name: Contamination("yes", "no", "Said.")})
    monkeypatch.setattr(SmallConv, "pretraining", lambda self: told)
    record = run_trial(trial, workplace)
    assert record.status == "finished", record.reason
    assert record.id == trial_of(**row).id  # it is no part of the id
    assert record.details["pretraining"] == {
        "data": "pictures",
        "licence": "mit",
        "images": "yes",
        "classes": "no",
        "reason": "Said.",
    }


def test_a_finished_record_holds_all_that_was_promised(trial_of, zoo, workplace):
    trial = trial_of(losses=(zoo("Pull"),), settings={"loss.weight": "2"})
    told: list[Epoch] = []
    record = run_trial(trial, workplace, told.append)
    assert (record.status, record.reason) == ("finished", "")
    assert record.id == trial.id
    assert record.epochs == told
    assert [epoch.epoch for epoch in told] == [0, 1, 2]
    assert {"recall@1", "recall@2", "recall@4", "recall@8", "map_at_r"} <= set(record.metrics)
    assert record.selection == "last epoch"
    assert record.selected_epoch == 2
    assert record.details["train_items"] == 24
    assert record.details["test_items"] == 24
    assert record.details["loss_parameters"] == 0
    expected = {
        "device": "cpu",
        "precision": "float32",
        "deterministic": True,
        "threads": 1,
    }
    assert expected.items() <= record.settings.items()
    assert record.versions["torch"]
    parts = [record.measurements[f"{n}_seconds"] for n in ("load", "train", "validate", "test")]
    assert min(parts) >= 0
    assert 0 < sum(parts) <= record.measurements["seconds"] + 0.002  # as each is rounded
    assert record.measurements["peak_memory_mib"] > 1
    assert record.seconds == record.measurements["cpu_seconds"] > 0
    on_gpu = record.model_copy(update={"settings": {"device": "cuda"}})
    assert on_gpu.seconds == record.measurements["seconds"]
    assert Record.model_validate_json(record.to_json()).to_json() == record.to_json()


@pytest.mark.parametrize("loss", ["Pull", "Proxies"])
def test_a_trial_run_twice_leaves_the_same_record(trial_of, zoo, workplace, loss):
    trial = trial_of(losses=(zoo(loss),), seeds=(3,))
    first = run_trial(trial, workplace)
    torch.rand(7), np.random.rand(3)
    second = run_trial(trial, Workplace(Catalogue.discover(), None, torch.device("cpu")))
    assert without_measurements(first) == without_measurements(second)
    assert first.status == "finished"


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
def test_a_trial_repeats_in_every_precision(trial_of, zoo, workplace, precision):
    trial = trial_of(losses=(zoo("Proxies"),), settings={"protocol.precision": precision})
    first, second = (run_trial(trial, workplace) for _ in range(2))
    assert first.status == "finished", first.reason
    assert without_measurements(first) == without_measurements(second)
    assert first.settings["precision"] == ("float32" if precision == "tf32" else precision)
    assert ("skipped_steps" in first.details) == (precision == "float16")


def test_another_seed_gives_other_figures(trial_of, zoo, workplace):
    records = [
        run_trial(trial_of(losses=(zoo("Pull"),), seeds=(seed,)), workplace) for seed in (0, 1)
    ]
    assert records[0].epochs[0].distances != records[1].epochs[0].distances


def test_training_moves_the_figures(trial_of, zoo, workplace):
    settings = {"protocol.optimiser.lr": "0.01", "protocol.length.steps_per_epoch": "15"}
    epochs = run_trial(trial_of(losses=(zoo("Pull"),), settings=settings), workplace).epochs
    gaps = [e.distances["train"].negative - e.distances["train"].positive for e in epochs]
    assert gaps[2] > gaps[0] + 0.4


def test_every_loss_starts_from_the_network_of_its_seed(trial_of, zoo, workplace):
    starts = []
    for loss in ("Pull", "Proxies"):
        trial = trial_of(losses=(zoo(loss),))
        items = data_of(trial, workplace).splits["test"]
        state = next(learn(trial, workplace, data_of(trial, workplace).splits["train"]))
        starts.append(state.embed(items))
    assert np.array_equal(*starts)
    assert starts[0].shape == (24, 4)
    assert np.allclose(np.linalg.norm(starts[0], axis=1), 1, atol=1e-6)


def test_each_state_can_be_remembered_to_the_bit_when_training_is_over(trial_of, zoo, workplace):
    settings = {"protocol.optimiser.lr": "0.1"}
    trial = trial_of(losses=(zoo("Pull"),), settings=settings)
    data, embedded, remembered = data_of(trial, workplace), [], []
    for state in learn(trial, workplace, data.splits["train"]):
        embedded.append(state.embed(data.splits["test"]))
        remembered.append(state.snapshot())
    assert not np.allclose(embedded[0], embedded[-1], atol=0.01)
    for embed, expected in zip(reversed(remembered), reversed(embedded), strict=True):
        assert np.array_equal(embed(data.splits["test"]), expected)


@pytest.mark.parametrize("head_init", ["torch", "kaiming-fan-out", "orthogonal"])
@pytest.mark.parametrize("baseline", ["zoo", "untrained"])
def test_epoch_zero_is_the_untrained_row_to_the_bit(trial_of, zoo, workplace, baseline, head_init):
    name = zoo("Embeddings") if baseline == "zoo" else baseline
    settings = {"protocol.head_init": head_init}
    untrained, trained = (
        trial_of(**rows, settings=settings)
        for rows in ({"baselines": (name,)}, {"losses": (zoo("Pull"),)})
    )
    data = data_of(trained, workplace)
    rows = [
        next(learn(trial, workplace, data.splits["train"])).embed(data.splits["test"])
        for trial in (untrained, trained)
    ]
    assert np.array_equal(*rows)
    records = [run_trial(trial, workplace) for trial in (untrained, trained)]
    assert records[0].epochs[0].distances == records[1].epochs[0].distances


HUB = """
from pathlib import Path
import torch
from dmlbench import Backbone

class FromHub(Backbone):
    "Its weights come from a place that can hold others tomorrow."

    def build(self, shape):
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(4, bias=False))
        network(torch.zeros(1, *shape))
        network[1].weight.data.fill_(float(Path(__file__).with_name("hub").read_text()))
        network.num_features = 4
        return network
"""


def test_other_weights_under_one_name_are_told_by_the_record(trial_of, zoo, workplace, tmp_path):
    (tmp_path / "own.py").write_text(HUB)
    backbone = f"{tmp_path}/own.py:FromHub"
    losses, baselines = (zoo("Pull"),), (zoo("Embeddings"),)
    found = []
    for weight in ("0.5", "0.25", "0.5"):
        (tmp_path / "hub").write_text(weight)
        trials = [trial_of(losses=losses, backbone=backbone, seeds=(seed,)) for seed in (0, 1)]
        trials.append(trial_of(baselines=baselines, backbone=backbone))
        records = [run_trial(trial, workplace) for trial in trials]
        assert [record.reason for record in records] == ["", "", ""]
        (hashed,) = {record.details["initial_weights"] for record in records}
        found.append(([trial.id for trial in trials], hashed))
    assert found[0] == found[2]
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]
    assert len(found[0][1]) == 16


def test_a_baseline_is_fitted_on_no_more_items_than_the_protocol_allows(trial_of, workplace):
    record = run_trial(trial_of(baselines=("pca",)), workplace)
    assert record.status == "finished", record.reason
    assert record.details["fit_items"] == 20
    assert record.details["train_items"] == 24
    assert [epoch.epoch for epoch in record.epochs] == [0]


@pytest.mark.parametrize(("name", "dimensions"), [("pca", 4), ("lda", 3), ("nca", 4)])
def test_components_are_as_many_as_protocol_and_data_allow(trial_of, workplace, name, dimensions):
    trial = trial_of(baselines=(name,))
    data = data_of(trial, workplace)
    state = next(learn(trial, workplace, data.splits["train"]))
    assert state.embed(data.splits["test"]).shape == (24, dimensions)


def test_iris_is_cross_validated_on_raw_vectors(trial_of, workplace):
    trial = trial_of(datasets=("iris",), baselines=("pixels",), protocol="vectors")
    record = run_trial(trial, workplace)
    assert record.metrics["knn_accuracy"] == pytest.approx(0.9733, abs=1e-4)


def test_a_network_that_works_in_place_leaves_the_data_alone(trial_of, zoo, workplace):
    suite = {"datasets": ("iris",), "protocol": "vectors", "backbone": zoo("InPlace")}
    trial = trial_of(losses=(zoo("Pull"),), settings={"protocol.length.epochs": "1"}, **suite)
    items = data_of(trial, workplace).splits["all"]
    items.inputs[:] -= 3
    before = items.inputs.copy()
    for state in learn(trial, workplace, items):
        state.embed(items)
    assert np.array_equal(items.inputs, before)


def test_metrics_are_computed_on_the_device_of_the_workplace(trial_of, zoo, workplace, monkeypatch):
    def spy(*given, device, **named):
        told.append(device)
        return score_retrieval(*given, device=device, **named)

    told = []
    monkeypatch.setattr("dmlbench.trials.run_trial.score_retrieval", spy)
    assert run_trial(trial_of(losses=(zoo("Pull"),)), workplace).status == "finished"
    assert told == [workplace.device]


def test_data_are_loaded_once_for_many_trials(trial_of, zoo, workplace):
    trial = trial_of(losses=(zoo("Pull"),))
    run_trial(trial, workplace)
    hits = load_once.cache_info().hits
    run_trial(trial_of(losses=(zoo("Proxies"),)), workplace)
    assert load_once.cache_info().hits == hits + 1


# What fails


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        ("NotANumber", r"The loss became nan at epoch 2, step 2\."),
        ("Raising", r"KeyError: 'forward' \(zoo.py:LINE, in forward\)"),
        ("Exiting", r"SystemExit: 7 \(zoo.py:\d+, in forward\)"),
    ],
)
def test_a_loss_that_fails_leaves_a_record_that_says_where(trial_of, zoo, workplace, loss, reason):
    lines = (Path(__file__).parents[1] / "support" / "zoo.py").read_text().splitlines()
    (line,) = (n for n, text in enumerate(lines, start=1) if "the reason must name" in text)
    record = run_trial(trial_of(losses=(zoo(loss),)), workplace)
    assert record.status == "failed"
    assert re.search(reason.replace("LINE", str(line)), record.reason), record.reason
    assert record.metrics == {}
    assert record.measurements["seconds"] > 0
    assert Record.model_validate_json(record.to_json()) == record


@pytest.mark.parametrize("sampler", ["Endless", "Lazy"])
def test_a_sampler_that_breaks_its_contract_fails_its_trials(trial_of, zoo, workplace, sampler):
    record = run_trial(trial_of(losses=(zoo("Pull"),), samplers=(zoo(sampler),)), workplace)
    assert record.status == "failed"
    assert f"{sampler} made" in record.reason


OWN = """
import torch
from dmlbench import Loss

class Own(Loss):
    takes = "pairs"
    default_miner = "all-pairs"
    {stated}

    def __init__(self{arguments}):
        super().__init__()
        {body}

    def forward(self, pairs, selection):
        return {value}
"""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"value": "pairs.similarity"}, "Own returned no scalar with a gradient"),
        ({"value": "pairs.similarity.sum().detach()"}, "Own returned no scalar with a gradient"),
        ({"body": "raise ValueError('no')"}, "Making the loss .*Own' failed: ValueError: no"),
        ({"value": "(_ for _ in ()).throw(ValueError('\\udc80'))"}, "ValueError: � \\("),
        ({"stated": "own_lr_multiple = 'much'"}, "could not convert string to float"),
        ({"stated": "own_lr_multiple = float('nan')"}, None),
        ({"stated": "reducer = object()"}, None),
    ],
    ids=str,
)
def test_odd_losses(trial_of, workplace, tmp_path, changes, reason):
    usual = {"stated": "", "arguments": "", "body": "", "value": "pairs.similarity.mean()"}
    path = tmp_path / "own_loss.py"
    path.write_text(OWN.format(**(usual | changes)))
    record = run_trial(trial_of(losses=(f"{path}:Own",)), workplace)
    assert Record.model_validate_json(record.to_json()).reason == record.reason
    if reason is not None:
        assert record.status == "failed"
        assert re.search(reason, record.reason), record.reason


def test_a_sampler_that_writes_to_the_labels_fails_alone(trial_of, zoo, workplace):
    sound = trial_of(losses=(zoo("Pull"),))
    load_once.cache_clear()
    alone = run_trial(sound, workplace)
    load_once.cache_clear()
    trial = trial_of(losses=(zoo("Pull"),), samplers=(zoo("Shuffling"),))
    writing = run_trial(trial, workplace)
    after = run_trial(sound, workplace)
    assert load_once.cache_info().misses == 1  # all on the same arrays
    assert writing.status == "failed"
    assert "read-only" in writing.reason
    assert without_measurements(after) == without_measurements(alone)


def test_data_that_changed_since_the_plan_fail_the_trial(trial_of, zoo, workplace):
    trial = trial_of(losses=(zoo("Pull"),)).model_copy(update={"fingerprint": "0" * 16})
    record = run_trial(trial, workplace)
    assert record.status == "failed"
    assert "changed: their fingerprint is" in record.reason


def test_a_source_that_changed_since_the_plan_fails_the_trial(trial_of, workplace, tmp_path):
    path = tmp_path / "edited.py"
    path.write_text(OWN.format(stated="", arguments="", body="", value="pairs.similarity.mean()"))
    trial = trial_of(losses=(f"{path}:Own",))
    path.write_text(path.read_text() + "\nedited = True\n")
    record = run_trial(trial, workplace)
    assert record.status == "failed"
    assert "changed after the run was planned" in record.reason


def test_a_component_that_is_gone_since_the_plan_fails_the_trial(trial_of, zoo, tmp_path):
    path = tmp_path / "gone.py"
    path.write_text(OWN.format(stated="", arguments="", body="", value="pairs.similarity.mean()"))
    trial = trial_of(losses=(f"{path}:Own",))
    loss = trial.parts["loss"].model_copy(update={"reference": "vanished", "paths": {}})
    trial = trial.model_copy(update={"parts": {**trial.parts, "loss": loss}})
    record = run_trial(trial, Workplace(Catalogue.discover(), None, torch.device("cpu")))
    assert record.status == "failed"
    assert "no loss named 'vanished'" in record.reason


def test_a_plugin_that_does_not_import_fails_its_trials_with_its_name(install, plan_of, zoo):
    install("broken-loss", "1 / 0", {"dmlbench.losses": {"broken": "broken_loss:Broken"}})
    workplace = Workplace(Catalogue.discover(), None, torch.device("cpu"))
    plan = plan_of(losses=("broken", zoo("Pull")))
    broken, sound = (run_trial(trial, workplace) for trial in plan.trials)
    assert broken.reason.startswith("The loss 'broken' of broken-loss 1.0 can't be loaded: ZeroDiv")
    assert broken.versions["broken-loss"] == "1.0"
    assert sound.status == "finished"


def test_a_signature_that_can_not_be_read_fails_its_trials(install, trial_of):
    source = OWN.format(
        stated="", arguments=", *, x: 'Unknown' = 1", body="", value="pairs.similarity.mean()"
    )
    install("unreadable-loss", source, {"dmlbench.losses": {"odd": "unreadable_loss:Own"}})
    workplace = Workplace(Catalogue.discover(), None, torch.device("cpu"))
    record = run_trial(trial_of(losses=("odd",)), workplace)
    assert record.status == "failed"
    assert "name 'Unknown' is not defined" in record.reason


def test_settings_of_torch_are_as_before_a_trial_even_if_it_fails(trial_of, zoo, workplace):
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    run_trial(trial_of(losses=(zoo("Raising"),)), workplace)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_a_baseline_larger_than_the_memory_is_refused_before_it_fills_it(
    trial_of, zoo, workplace, monkeypatch
):
    trial = trial_of(baselines=(zoo("Embeddings"),))
    bytes_needed = 24 * 4 * 4  # items, dimensions, float32
    monkeypatch.setattr(
        "dmlbench.training.baselines.installed_memory", lambda: 2 * bytes_needed - 1
    )
    record = run_trial(trial, workplace)
    assert record.status == "failed"
    assert "makes 4 numbers per item of 24 items" in record.reason
    assert "--baseline" in record.reason
    monkeypatch.setattr("dmlbench.training.baselines.installed_memory", lambda: 2 * bytes_needed)
    assert run_trial(trial, workplace).status == "finished"


def test_a_baseline_that_loses_items_is_said(trial_of, zoo, workplace):
    record = run_trial(trial_of(baselines=(zoo("Forgetful"),)), workplace)
    assert record.status == "failed"
    assert "Forgetful made embeddings of shape (1, 64), not [24, E]" in record.reason


# What is told meanwhile


def test_photos_that_a_worker_has_to_decode_are_told(tmp_path):
    """Where no planner has decoded them: on another machine, or after the cache was emptied."""
    for number in range(24):
        picture(tmp_path / f"photos/class {number % 4}/{number}.jpg", number)
    here = Workplace(Catalogue.discover(), None, torch.device("cpu"), tmp_path / "cache")
    told = []
    with heard_by(lambda *news: told.append(news)):
        load_once(here, f"folder:{tmp_path / 'photos'}", "{}", PhotoFormat(8, 8))
    assert told == [("decoding", done, 24, "photos") for done in range(1, 25)]
