"""Trials as jobs: what is checked, submitted and told, where Slurm itself is not needed."""

import inspect
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from submitit.core.utils import FailedJobError
from support.forking_task import forking_task
from support.patient_task import patient_task

from dmlbench import ConfigError, Doing, Epoch, Event, Record, WorkerSettings
from dmlbench.cli.main import main
from dmlbench.components.hook_plugins import empty_manager
from dmlbench.executors.inline import Inline
from dmlbench.executors.run import run
from dmlbench.storage.repair import find_faults
from dmlbench.testing.quick_trials import quick_task
from dmlbench.testing.quick_trials import trial as quick
from dmlbench_executors import slurm_checks, slurm_commands, slurm_under_way
from dmlbench_executors.slurm import Slurm
from dmlbench_executors.slurm_clusters import Cluster
from dmlbench_executors.slurm_commands import State, states
from dmlbench_executors.slurm_files import EventFile
from dmlbench_executors.slurm_job import Job
from dmlbench_executors.slurm_under_way import UnderWay

PAGE = Path(__file__).parents[3] / "docs" / "executors.md"
PARTITIONS = "gpu|1-12:00:00\nshort*|30:00\nlong|infinite\n"


@pytest.fixture
def settings(tmp_path) -> WorkerSettings:
    return WorkerSettings(tmp_path / "runs", device="cpu", checkpoint_seconds=1e-3)


@pytest.fixture
def say(tmp_path, monkeypatch):
    """Return a function that has a command of Slurm say something and end with a code."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def say(command: str, output: str = "", error: str = "", code: int = 0) -> None:
        (folder / f"{command}.out").write_text(output)
        (folder / f"{command}.err").write_text(error)
        script = folder / command
        script.write_text(f'#!/bin/sh\ncat "$0.out"\ncat "$0.err" >&2\nexit {code}\n')
        script.chmod(0o755)

    return say


@pytest.fixture
def commands(say):
    for command in ("sbatch", "srun", "squeue", "scancel"):
        say(command)
    say("sinfo", PARTITIONS)


@pytest.fixture
def dmlbench(monkeypatch, capsys):
    """Return a function that runs the command line; it returns exit code, output and errors."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dmlbench", *words])
        with pytest.raises(SystemExit) as exit_:
            main()
        return exit_.value.code, *capsys.readouterr()

    return call


def bare(record: Record) -> str:
    return record.model_copy(update={"measurements": {}}).to_json()


@pytest.mark.slow  # each worker imports torch
@pytest.mark.parametrize("cluster", ["local", "debug"])
def test_the_local_and_the_debug_cluster_give_the_records_of_this_process(
    plan_of, zoo, settings, tmp_path, cluster
):
    plan = plan_of(losses=(zoo("Pull"), zoo("Raising")), baselines=("pixels",))
    alone = replace(settings, records=tmp_path / "alone")
    expected = run(plan, alone, empty_manager(), Inline())
    executor = Slurm(cluster=cluster, jobs=1, trials_per_job=3)
    records = run(plan, settings, empty_manager(), executor)
    assert list(map(bare, records)) == list(map(bare, expected))
    assert {record.status for record in records} == {"finished", "failed"}
    assert not (settings.records / ".slurm").exists()


def test_a_job_that_must_go_saves_its_trials_and_goes_on_when_it_is_requeued(settings):
    events = []
    chosen = Slurm(cluster="local", cpus_per_task=2)
    for event in chosen.run(patient_task, iter([quick(0), quick(1)]), settings):
        events.append(event)
        if sum(each.kind == "epoch" for each in events) == 2:
            (controller,) = psutil.Process().children()
            controller.send_signal(signal.SIGTERM)
    for seed in range(2):
        mine = [event for event in events if event.trial == quick(seed)]
        assert [event.kind for event in mine] == ["started", "epoch", "epoch", "finished"]
        assert [event.epoch.epoch for event in mine[1:3]] == [0, 1]


def test_a_job_that_dies_loses_its_trials_and_tells_where_its_log_is(settings):
    executor, ends = Slurm(cluster="local", trials_per_job=2), []
    for event in executor.run(worthless_task, iter([quick(0)]), settings):
        ends.append(event)
    (lost,) = ends
    assert lost.kind == "lost"
    assert "ended (FAILED)" in lost.reason
    assert "The last line of its log: AttributeError: 'NoneType'" in lost.reason
    log = Path(lost.reason.partition("Its log is ")[2].partition(". ")[0])
    assert "Traceback" in log.read_text()
    assert find_faults(settings.records.parent, Path("runs"), Path("leaderboards")) == []


def worthless_task(trial, settings, report, stop):
    """Return no event, which the job does not survive."""


def test_what_a_requeued_job_tells_again_is_told_once(tmp_path):
    trials = [quick(0), quick(1)]
    events = EventFile(tmp_path / "events", trials)
    job = SimpleNamespace(job_id="7_1")
    content = SimpleNamespace(events=events.path, trials=trials)
    each = slurm_under_way._Submitted(job, content)
    told = [Event("started", quick(0)), *(epoch(number) for number in range(3))]
    for event in told[:3]:
        events.append(event)
    with open(events.path, "ab") as file:
        file.write(b'\n{"kind": "epo')  # it was killed here
    assert list(each.news()) == told[:3]
    doing = Event("doing", quick(0), doing=Doing("training", 2, 3, "steps"))
    record = Record(id=quick(0).id, trial=quick(0), status="finished", metrics={"map_at_r": 0.1})
    end = Event("finished", quick(0), record=record, worker_broken=True)
    for event in (*told[:2], doing, *told[2:], end, Event("started", quick(1))):
        events.append(event)
    assert list(each.news()) == [doing, told[3], end, Event("started", quick(1))]
    assert list(each.left.values()) == [quick(1)]


def epoch(number: int) -> Event:
    return Event("epoch", quick(0), epoch=Epoch(epoch=number, loss=0.5))


def test_jobs_that_slurm_refuses_for_now_are_submitted_later(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(slurm_under_way, "_RETRY_SECONDS", 0.0)
    answers = [None, FailedJobError("sbatch: error: busy"), None]

    class Busy(Cluster):
        def __init__(self): ...

        _executor = states = end = None

        def submit(self, jobs):
            if answer := answers.pop(0):
                raise answer
            return [SimpleNamespace(job_id=str(id(job))) for job in jobs]

    Busy.__abstractmethods__ = frozenset()
    under_way = UnderWay(Busy())
    for number in range(2):
        under_way.add(SimpleNamespace(trials=[quick(number)], events=tmp_path))
        under_way.submit()
    assert "takes no jobs for now: sbatch: error: busy" in capsys.readouterr().err
    under_way.submit()
    assert (len(under_way), answers) == (2, [])


@pytest.mark.usefixtures("commands")
def test_the_first_jobs_that_slurm_refuses_end_the_run(settings, say):
    say("sbatch", error="sbatch: error: QOSMaxSubmitJobPerUserLimit\n", code=1)
    executor = Slurm(check_shared=False)
    with pytest.raises(ConfigError, match=r"does not take the jobs: .*MaxSubmit.*executor.jobs"):
        list(executor.run(quick_task, iter([quick(0)]), settings))
    assert list(settings.records.iterdir()) == []


@pytest.mark.usefixtures("commands")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"partition": "cpu"}, "no partition 'cpu'. Did you mean 'gpu'?"),
        ({"partition": "gpu,lang"}, "no partition 'lang'. Did you mean 'long'?"),
        ({"timeout_min": 31}, "timeout_min=31: the partition allows 30 minutes"),
        ({"partition": "gpu", "timeout_min": 2161}, "allows 2160 minutes"),
        ({"jobs": 0}, "executor.jobs=0: it must be above 0"),
        ({"mem_gb": float("inf")}, "executor.mem_gb=inf"),
        ({"trial_timeout": -1.0}, "executor.trial_timeout=-1.0: a limit"),
        ({"sbatch": "-q long"}, "executor.sbatch='-q long': '-q' is not of the form --name=value"),
    ],
)
def test_a_wrong_request_is_refused_with_the_way_out(options, reason):
    with pytest.raises(ConfigError, match=reason):
        Slurm(**options)


@pytest.mark.usefixtures("commands")
@pytest.mark.parametrize(
    ("partition", "minutes"), [("", 30), ("gpu", 1440), ("long", 1440), ("short,long", 30)]
)
def test_jobs_may_take_as_long_as_their_partition_allows_but_a_day(partition, minutes, settings):
    executor = Slurm(partition=partition, check_shared=False)
    assert f"#SBATCH --time={minutes}\n" in executor.describe(settings, 1)


def test_a_machine_without_slurm_or_submitit_is_told_what_to_do(
    monkeypatch, tmp_path, say, dmlbench
):
    say("sinfo", error="sinfo: error: no DNS\nslurm_load_partitions: connect failure\n", code=1)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(
            ConfigError, match=r"no sbatch on the path.* leave --executor slurm out"
        ):
            Slurm()
    for command in ("sbatch", "srun", "squeue", "scancel"):
        say(command)
    with pytest.raises(ConfigError, match="does not answer: slurm_load_partitions: connect fail"):
        Slurm()
    monkeypatch.setattr(slurm_checks, "find_spec", lambda name: None)
    code, _, errors = dmlbench("run", "--dataset", "iris", "--executor", "slurm")
    assert (code, errors.count("\n")) == (2, 1)
    assert 'pip install "dmlbench[slurm]"' in errors


@pytest.mark.usefixtures("commands")
def test_folders_that_other_machines_do_not_see_are_refused_before_anything_is_submitted(
    settings, monkeypatch, say
):
    say("sbatch", error="sbatch was called", code=1)
    with pytest.raises(ConfigError, match=r"which each machine has of its own.* --output"):
        next(Slurm().run(quick_task, iter([quick(0)]), settings))
    monkeypatch.delenv("DMLBENCH_CACHE")
    fine = replace(settings, records=Path("/shared/runs"))
    assert "#SBATCH" in Slurm().describe(fine, 1)
    assert Slurm(jobs=3, gpus_per_node=4).trials_at_once(fine) == 12
    with pytest.raises(ConfigError, match="--devices-per-trial 2: a trial on Slurm has one GPU"):
        Slurm().describe(replace(fine, devices_per_trial=2), 1)
    in_memory = SimpleNamespace(mountpoint="/shared", fstype="tmpfs")
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [in_memory])
    cache = replace(settings, records=Path("/home/runs"), cache_dir=Path("/shared/cache"))
    with pytest.raises(ConfigError, match=r"memory of this machine \(tmpfs\).* --cache-dir"):
        Slurm().describe(cache, 1)


@pytest.mark.usefixtures("commands")
def test_a_dry_run_shows_the_script_and_submits_nothing(tmp_path, say, dmlbench):
    say("sbatch", error="sbatch was called", code=1)
    words = "run --dataset iris --loss triplet --baseline none --seeds 5 --dry-run --executor slurm"
    options = (
        "partition=gpu gpus_per_node=2 mem_gb=1.5 sbatch=--qos=long setup=true check_shared=no"
    )
    sets = [f"--set=executor.{option}" for option in options.replace("=no", "=false").split()]
    code, output, errors = dmlbench(*words.split(), *sets, "--output", str(tmp_path))
    assert code == 0, errors
    assert "up to 100 Slurm jobs in partition gpu at one time, each of 2 trials" in output
    script = output.partition("#!/bin/bash")[2].splitlines()
    for line in (
        "array=0-2%3",
        "cpus-per-task=2",
        "gpus-per-node=2",
        "mem=1536M",
        "partition=gpu",
        "qos=long",
        "requeue",
        "signal=USR2@90",
    ):
        assert f"#SBATCH --{line}" in script
    assert script.index("true") < script.index("export SUBMITIT_EXECUTOR=slurm")
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("commands")
def test_the_page_of_executors_shows_the_script_and_all_options(settings):
    text = PAGE.read_text().partition("\n## Ray")[0]
    executor = Slurm(partition="gpu", gpus_per_node=8, check_shared=False)
    script = executor.describe(replace(settings, records=Path("/shared/cub/runs")), 1_000)
    shown = text.partition("```text\n")[2].partition("```")[0]
    assert shown == script.replace(sys.executable, "/shared/venv/bin/python")
    for name, parameter in inspect.signature(Slurm).parameters.items():
        (line,) = [each for each in text.splitlines() if re.match(rf"\| .*`{name}`.* \|", each)]
        default = parameter.default
        if type(default) in (int, str) and default:
            assert str(default) in line.split("|")[2]


def test_a_worker_that_dies_in_a_job_costs_its_trial_and_the_log_is_kept(settings):
    executor = Slurm(cluster="debug", trials_per_job=2)
    (first, second) = executor.run(forking_task, map(quick, range(2)), settings)
    for event in (first, second):
        reason, _, log = event.reason.partition(" Its log is ")
        assert reason == "The worker process exited with code 5 in the middle of the trial."
        assert Path(log).parent.is_dir()


@pytest.mark.parametrize(
    ("device", "given", "devices"),
    [
        ("auto", {"gpus_per_node": 2}, ("cuda:0", "cuda:1")),
        ("cuda", {"gpus_per_node": 8}, ("cuda:0", "cuda:1", "cuda:2")),
        ("cpu", {"cpus_per_task": 2}, ("cpu", "cpu")),
        ("auto", {}, ("auto",)),
    ],
)
def test_trials_run_side_by_side_on_a_device_each(device, given, devices, settings, tmp_path):
    executor = Slurm(cluster="debug", **given)
    assert executor.trials_per_job == executor.side_by_side == next(iter(given.values()), 1)
    trials = tuple(quick(seed) for seed in range(3))
    job = executor._job(quick_task, trials, replace(settings, device=device), tmp_path)
    assert isinstance(job, Job)
    assert job.devices == devices


def test_what_slurm_says_of_jobs_is_understood(say, monkeypatch):
    say("squeue", "8_0|RUNNING|None\n8_1|OUT_OF_MEMORY|OutOfMemory\n8_2|PENDING|Priority\n")
    say("sacct", "CANCELLED by 1000\n")
    found = states(["8_0", "8_1", "8_2", "9"])
    assert {job: state.is_over for job, state in found.items()} == {
        "8_0": False,
        "8_1": True,
        "8_2": False,
        "9": True,
    }
    assert found["8_1"].meaning == (
        "ran out of memory (OUT_OF_MEMORY, OutOfMemory). Give it more with --set "
        "executor.mem_gb=GB."
    )
    assert found["9"].meaning == "was cancelled (CANCELLED)."
    say("sacct", error="Slurm accounting storage is disabled\n", code=1)
    say("squeue", error="slurm_load_jobs error: Invalid job id specified\n", code=1)
    assert states(["9"]) == {"9": State("")}
    say("squeue", error="slurm_load_jobs error: Unable to contact slurm controller\n", code=1)
    assert states(["9"]) == {}
    assert states([]) == {}
    monkeypatch.setattr(slurm_commands, "_SECONDS", 0.01)
    assert states(["9"]) == {}


def test_listing_executors_loads_neither_submitit_nor_torch():
    code = (
        "import sys\n"
        "sys.modules['submitit'] = None\n"  # as if the extra were not installed
        "from dmlbench.cli.main import group\n"
        "for words in ('list executors', 'list executors --long', 'show executor slurm'):\n"
        "    assert not group.main(words.split(), standalone_mode=False)\n"
        "assert 'torch' not in sys.modules\n"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.count("slurm") >= 3
    assert "trials_per_job" in done.stdout
