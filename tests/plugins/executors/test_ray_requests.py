"""What Ray is asked for, and what is refused before anything starts."""

import subprocess
import sys
from importlib import util

import pytest

from dmlbench import ConfigError, WorkerSettings
from dmlbench.components.catalogue import Catalogue
from dmlbench.executors.choice import choose_executor
from dmlbench.testing.quick_trials import quick_task, trial
from dmlbench_executors.ray import Ray
from dmlbench_executors.ray_worker import Surroundings

CATALOGUE = Catalogue.discover()


def test_without_the_extra_the_way_to_it_is_said(monkeypatch):
    found = util.find_spec
    monkeypatch.setattr(
        "dmlbench_executors.ray_connection.find_spec",
        lambda name: None if name == "ray" else found(name),
    )
    with pytest.raises(ConfigError, match=r'pip install "dmlbench\[ray\]"'):
        choose_executor(CATALOGUE, "ray")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"jobs": "0"}, r"executor\.jobs=0: at least 1"),
        (
            {"num_gpus": "1.5"},
            r"executor\.num_gpus=1\.5: it is a part of 1",
        ),
        ({"num_cpus": "-1"}, r"executor\.num_cpus=-1\.0"),
        ({"num_cpus": "0"}, "takes neither CPUs nor GPUs"),
        ({"adress": "auto"}, "Did you mean 'address'"),
    ],
)
def test_a_wrong_option_is_refused(options, reason):
    with pytest.raises(ConfigError, match=reason):
        choose_executor(CATALOGUE, "ray", options)


@pytest.mark.parametrize(
    ("options", "device", "reason"),
    [
        ({"address": "127.0.0.1:1"}, "auto", "nothing answers there within 10 seconds"),
        ({"address": "127.0.0.1:99999"}, "auto", "nothing answers there"),
        ({"address": "ray://head:10001"}, "auto", "Ray's client .* does not do"),
        ({"address": "head"}, "auto", r"such as 10\.0\.0\.1:6379"),
        ({}, "cuda:1", "Ray itself gives each trial its CPUs and GPUs"),
        ({"num_gpus": 0.5}, "cpu", r"--device cpu and executor\.num_gpus=0\.5 contradict"),
        ({"num_gpus": 0.0}, "cuda", "contradict each other"),
    ],
)
def test_what_can_never_run_is_refused_before_a_trial_starts(options, device, reason, tmp_path):
    settings = WorkerSettings(tmp_path, device=device)
    events = Ray(**options).run(quick_task, iter([trial(0)]), settings)
    with pytest.raises(ConfigError, match=reason):
        next(events)
    assert list(tmp_path.iterdir()) == []


def test_gpus_of_a_trial_must_be_as_many_as_its_devices(tmp_path):
    settings = WorkerSettings(tmp_path, devices_per_trial=4)
    with pytest.raises(ConfigError, match=r"--devices-per-trial 4 and executor\.num_gpus=2"):
        next(Ray(num_gpus=2.0).run(quick_task, iter([trial(0)]), settings))


def test_where_trials_run_is_told_without_asking_the_cluster(monkeypatch, tmp_path):
    settings = WorkerSettings(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert Ray().where(settings) == "on Ray started on this machine"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert Ray().where(settings) == "on Ray at 10.0.0.1:6379"
    assert Ray(address="auto").where(settings) == "on Ray at auto"


def test_workers_take_over_variables_by_the_beginning_of_their_names(monkeypatch, tmp_path):
    monkeypatch.setenv("DMLBENCH_DATA", "/data")
    monkeypatch.setenv("SECRET", "yes")
    monkeypatch.chdir(tmp_path)
    here = Surroundings.here(["DMLBENCH_", "HF_"])
    assert here.variables["DMLBENCH_DATA"] == "/data"
    assert "SECRET" not in here.variables
    assert here.folder == str(tmp_path)
    assert all(path.startswith("/") for path in here.search_path)


def test_the_executor_is_known_without_importing_ray():
    code = (
        "import sys, dmlbench_executors.ray\n"
        "from dmlbench_executors.ray import Ray\n"
        "Ray()\n"
        "print(sorted({'ray', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
