"""Hook plugins: what they hear, and that a broken one is left out alone."""

import sys
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from dmlbench.components import hook_plugins
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.entry_points import Entry
from dmlbench.components.hook_plugins import heard_hooks, notify, plugin_manager
from dmlbench.contracts.hooks import Specification, hookimpl

LISTENER = """
from dmlbench import hookimpl

heard = []

@hookimpl
def dmlbench_run_started(plan):
    heard.append(plan)

@hookimpl
def dmlbench_leaderboard_columns(records):
    return {"heard": " ".join(heard)}
"""
BROKEN = {
    "import": ("raise RuntimeError('I am broken')", "RuntimeError: I am broken"),
    "exit": ("raise SystemExit(1)", "SystemExit"),
    "name": (LISTENER.replace("run_started", "run_begun"), "dmlbench_run_begun"),
    "argument": (LISTENER.replace("(plan)", "(plam)"), "plam"),
}


def test_a_module_listens_as_a_plugin(install):
    install("listening", LISTENER, {"dmlbench.hooks": {"ear": "listening"}})
    with plugin_manager(Catalogue.discover()) as manager:
        manager.hook.dmlbench_run_started(plan="the plan")
        assert {"heard": "the plan"} in manager.hook.dmlbench_leaderboard_columns(records=[])
    assert "listening" not in sys.modules  # a stranger's code runs elsewhere


def test_an_object_listens_as_a_plugin(install):
    source = (
        "from dmlbench import hookimpl\nclass Ear:\n @hookimpl\n"
        " def dmlbench_leaderboard_columns(self, records): return {'self': type(self).__name__}\n"
        "ear = Ear()"
    )
    install("an-object", source, {"dmlbench.hooks": {"ear": "an_object:ear"}})
    with plugin_manager(Catalogue.discover()) as manager:
        assert {"self": "Ear"} in manager.hook.dmlbench_leaderboard_columns(records=[])


@pytest.mark.parametrize(("source", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_left_out_with_a_warning_and_the_others_stay(install, source, reason):
    install("a-broken-ear", source, {"dmlbench.hooks": {"ear": "a_broken_ear"}})
    install("sound-ear", LISTENER, {"dmlbench.hooks": {"ear": "sound_ear"}})
    with ExitStack() as stack:
        with pytest.warns(UserWarning, match=f"(?s)a-broken-ear:ear is left out: .*{reason}"):
            manager = stack.enter_context(plugin_manager(Catalogue.discover()))
        assert not manager.has_plugin("a-broken-ear:ear")
        manager.hook.dmlbench_run_started(plan="it")
        assert manager.hook.dmlbench_leaderboard_columns(records=[]) == [{"heard": "it"}]


def test_one_plugin_under_two_names_listens_once(install):
    points = {"dmlbench.hooks": {"left": "two_ears", "right": "two_ears"}}
    install("two-ears", LISTENER, points)
    with ExitStack() as stack:
        with pytest.warns(UserWarning, match="two-ears:right is left out"):
            manager = stack.enter_context(plugin_manager(Catalogue.discover()))
        manager.hook.dmlbench_run_started(plan="once")
        assert manager.hook.dmlbench_leaderboard_columns(records=[]) == [{"heard": "once"}]


def test_a_listener_may_take_fewer_arguments():
    class Counter:
        epochs = 0

        @hookimpl
        def dmlbench_epoch_finished(self):
            self.epochs += 1

    counter = Counter()
    with plugin_manager(Catalogue(())) as manager:
        manager.register(counter)
        manager.hook.dmlbench_epoch_finished(trial=None, metrics={})
    assert counter.epochs == 1


def test_a_listener_may_be_a_dataclass():
    @dataclass
    class Listener:  # with no hash, as it can be compared
        heard: list[str]

        @hookimpl
        def dmlbench_run_started(self, plan):
            self.heard.append(plan)

    listener = Listener([])
    with plugin_manager(Catalogue(())) as manager:
        manager.register(listener)
        notify(manager, "dmlbench_run_started", plan="it")
    assert listener.heard == ["it"]


def test_components_are_no_hooks():
    with plugin_manager(Catalogue([Entry("loss", "x", "y", "1", "json")])) as manager:
        assert manager.get_plugins() == set()


def test_every_hook_is_passed_on():
    hooks = [name for name in vars(Specification) if name.startswith("dmlbench_")]
    assert sorted(hooks) == heard_hooks(hook_plugins._StandIn)
