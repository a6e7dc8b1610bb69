"""From what a user asks for to an executor."""

import pytest

from dmlbench import ConfigError
from dmlbench.components.catalogue import Catalogue
from dmlbench.executors.choice import choose_executor
from dmlbench.executors.inline import Inline
from dmlbench.executors.local import Local

CATALOGUE = Catalogue.discover()


def test_trials_run_in_workers_unless_there_are_to_be_none():
    assert isinstance(choose_executor(CATALOGUE), Local)
    assert isinstance(choose_executor(CATALOGUE, jobs=0), Inline)
    assert isinstance(choose_executor(CATALOGUE, "inline", jobs=0), Inline)


def test_jobs_is_short_for_the_option_of_that_name():
    for asked in ({"jobs": 3}, {"options": {"jobs": "3"}}, {"reference": "local", "jobs": 3}):
        executor = choose_executor(CATALOGUE, **asked)
        assert isinstance(executor, Local)
        assert executor.jobs == 3


def test_devices_are_an_option_too():
    for asked in ({"devices": "cuda:0,cuda:1"}, {"options": {"devices": "cuda:0,cuda:1"}}):
        assert choose_executor(CATALOGUE, **asked).devices == "cuda:0,cuda:1"


def test_limits_are_short_for_options_too():
    limits = {"isolate": True, "trial_timeout": 90.0, "trial_memory": 4000}
    for asked in (limits, {"options": {name: str(value) for name, value in limits.items()}}):
        executor = choose_executor(CATALOGUE, **asked)
        assert vars(executor).items() >= limits.items()


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"reference": "locl"}, "There is no executor named 'locl'. Did you mean 'local'?"),
        ({"options": {"job": "2"}}, "executor.job: .* Did you mean 'jobs'?"),
        ({"options": {"jobs": "two"}}, "executor.jobs='two' is not of type int"),
        ({"options": {"jobs": "0"}}, "executor.jobs=0: at least 1"),
        ({"options": {"jobs": "2"}, "jobs": 2}, "say the same. Leave one out."),
        ({"jobs": 0, "devices": "all"}, "--devices needs worker processes, and --jobs 0 has none"),
        ({"reference": "inline", "devices": "all"}, r"executor\.devices: "),
        ({"jobs": 0, "isolate": True}, "--isolate needs worker processes, and --jobs 0 has none"),
        ({"reference": "inline", "trial_timeout": 9.0}, r"executor\.trial_timeout: "),
        ({"trial_timeout": -1.0}, r"executor\.trial_timeout=-1.0: a limit is a number above 0"),
        ({"options": {"trial_memory": "nan"}}, r"executor\.trial_memory"),
        ({"options": {"isolate": "true"}, "isolate": True}, "--isolate and --set executor.isolate"),
        ({"reference": "local", "jobs": 0}, "--jobs 0 runs trials in this process"),
        ({"reference": "inline", "jobs": 2}, "executor.jobs: "),
    ],
)
def test_a_wrong_request_is_refused_with_the_way_out(asked, reason):
    with pytest.raises(ConfigError, match=reason):
        choose_executor(CATALOGUE, **asked)
