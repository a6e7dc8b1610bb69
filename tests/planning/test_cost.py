"""What a run is said to cost, held against what published trials have taken."""

from collections import defaultdict
from datetime import datetime
from pathlib import Path

import pytest
from support.made_records import record

from dmlbench.components.catalogue import Catalogue
from dmlbench.planning.cost import Cost, estimate
from dmlbench.planning.cost_text import sentences
from dmlbench.planning.measured import measured, measured_before, once_apart, row_of
from dmlbench.planning.timings import Scaled, shipped_timings
from dmlbench.schemas.plan import Plan, Workload
from dmlbench.storage.record_store import Store

ROOT = Path(__file__).parents[2]
PUBLISHED = Store(ROOT / "leaderboards/runs")
NOTHING = Scaled("no such device", "")
NOON = datetime(2026, 1, 1, 12)


@pytest.fixture(scope="module")
def tables():
    """The published records by table."""
    found = defaultdict(list)
    for each in PUBLISHED.read_all()[0]:
        if each.status == "finished":
            found[str(each.trial.dataset), each.trial.protocol.name].append(each)
    return found


def planned(records):
    return Plan(tuple(each.trial for each in records))


def test_the_hours_of_each_published_table_follow_from_one_seed_within_a_factor_of_1_5(tables):
    assert len(tables) >= 10
    for name, records in tables.items():
        first = [each for each in records if each.trial.seed == 0]
        assert len(first) < len(records)
        trials = planned(records)
        found = measured_before(trials.trials, Store(ROOT / "none"), first, "cpu")
        cost = estimate(trials, trials.trials, found, NOTHING, Catalogue.discover())
        # The first seed has also computed the features that the others found ready.
        frozen = records[0].trial.protocol.frozen
        once = sum(one.once for some in found.values() for one in some) if frozen else 0.0
        taken = sum(each.seconds for each in records)
        assert taken / 1.5 < cost.total + once < 1.5 * taken, name
        assert set(cost.basis.values()) == {"records here"}


def test_what_ships_tells_the_hours_of_each_published_table_within_a_factor_of_1_5(tables):
    """Otherwise run benchmarks/make_timings.py. Other machines have made some of its figures."""
    for name, records in tables.items():
        (table,) = (t for t in shipped_timings().tables if (t.dataset, t.protocol) == name)
        settings = records[0].settings
        if not table.processor.startswith(settings.get("processor", "a processor with")):
            continue  # newer records of the same table
        trials = planned(records)
        cost = estimate(trials, trials.trials, {}, Scaled("cpu", ""), Catalogue.discover())
        taken = sum(each.seconds for each in records)
        assert taken / 1.5 < cost.total + table.once < 1.5 * taken, name


def test_records_in_the_output_folder_tell_of_other_seeds_of_the_same_row_alone(tmp_path):
    store = Store(tmp_path)
    others = {"device": "cpu"}, {"seconds": 30.0, "cpu_seconds": 20.0, "load_seconds": 3.0}
    store.write(record(seed=0, settings=others[0], measurements=others[1]))
    other_loss = record("contrastive", "all-pairs", seed=0)
    changed = (
        record()
        .trial.protocol.change("length.epochs", "3")
        .model_copy(update={"name": record().trial.protocol.name})
    )
    longer = record("arcface", None, seed=1, protocol=changed)
    store.write(longer.model_copy(update={"settings": others[0], "measurements": others[1]}))
    to_run = [record(seed=4).trial, other_loss.trial, record("arcface", None, seed=1).trial]
    found = measured_before(to_run, store, (), "cpu")
    assert list(found) == [row_of(to_run[0])]
    (told,) = found[row_of(to_run[0])]
    assert (told.seconds, told.once) == (18.0, 2.0)
    assert not measured_before(to_run, store, (), "NVIDIA H200")


def test_features_that_one_trial_computed_for_all_are_no_time_of_its_row():
    rows = {n: [measured({"seconds": s}, "cpu")] for n, s in enumerate([300.0, 2.0, 3.0, 4.0])}
    apart = once_apart(rows)
    assert (apart[0][0].seconds, apart[0][0].once) == (3.5, 296.5)
    assert [some[0].seconds for some in list(apart.values())[1:]] == [2.0, 3.0, 4.0]


def test_trials_that_share_data_are_drawn_together_and_the_longest_first():
    slow, fast, unknown = "triplet", "contrastive", "arcface"
    trials = [
        record(loss, None, seed=seed, dataset=dataset).trial
        for dataset in ("glyphs", "digits")
        for seed in range(2)
        for loss in (fast, slow, unknown)
    ]
    seconds = {
        trial.id: 60.0 * (1 + (trial.label == slow)) * (1 + 2 * (str(trial.dataset) == "digits"))
        for trial in trials
        if trial.label != unknown
    }
    drawn = Cost(tuple(trials), seconds, {}, {}).drawn(trials)
    assert [str(trial.dataset) for trial in drawn] == ["glyphs"] * 6 + ["digits"] * 6
    assert [trial.label for trial in drawn[:6]] == [unknown] * 2 + [slow] * 2 + [fast] * 2
    known = [trial for trial in trials if trial.label != unknown]
    drawn = Cost(tuple(known), seconds, {}, {}).drawn(known)
    assert [seconds[trial.id] for trial in drawn] == [360, 360, 180, 180, 120, 120, 60, 60]
    assert Cost(tuple(known), seconds, {}, {}).elapsed(2) == 720
    assert {trial.id for trial in drawn} == {trial.id for trial in known}


def test_where_nothing_tells_no_number_is_given():
    trial = record().trial
    cost = estimate(Plan((trial,)), [trial], {}, NOTHING, Catalogue.discover())
    lines = list(sentences(cost, 2, "NVIDIA H200", NOON))
    assert lines[0] == (
        "Time: nothing tells how long 1 of the trials take on NVIDIA H200; --probe times a few "
        "steps of them."
    )
    assert "nothing tells the memory" in lines[1]
    assert list(sentences(Cost((), {}, {}, {}), 2, "cpu", NOON)) == []


def test_memory_is_compared_with_that_of_the_machine_where_trials_run():
    cost = Cost((record().trial,), {}, {}, {}, memory_mib=2048)
    assert "up to 2.0 GiB a worker, 200.0 of the" in [*sentences(cost, 100, "cpu", NOON)][-1]
    elsewhere = [*sentences(cost, 100, "cpu", NOON, here=False)]
    assert "up to 2.0 GiB a worker, no photos" in elsewhere[-1]


def test_a_row_that_ships_nowhere_is_scaled_by_its_images_and_says_so():
    protocol = record().trial.protocol
    longer = protocol.change("length.epochs", "80")
    passes = 3 * 80 * 40 * 64 + 81 * (500 + 208 + 500) + 864
    workload = Workload(80 * 40 * 64, 81 * 1208, 864, False, 1712, (1, 20, 20))
    assert workload.passes == passes
    trial = record("triplet", "semi-hard", protocol=longer).trial
    shipped = next(
        t for t in shipped_timings().tables if (t.dataset, t.protocol) == ("glyphs", "small")
    )
    seconds, basis = Scaled("cpu", shipped.processor).find(trial, workload, lambda: shipped.gflops)
    expected = shipped.rows["triplet + semi-hard"] * passes / shipped.passes
    assert seconds == pytest.approx(expected, rel=0.01)
    assert basis.startswith("the same losses on glyphs")
