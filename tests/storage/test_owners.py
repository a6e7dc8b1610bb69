"""Names of processes: who made a file, and whether that process is gone."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from support.processes import needs_proc, wait_until

from dmlbench.storage.owners import Owner


@pytest.fixture
def ended():
    """Another process's name, after that process has ended."""
    code = "from dmlbench.storage.owners import Owner; print(Owner.new())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return Owner.parse(said.stdout.strip())


def test_a_name_tells_its_process_and_is_used_once():
    first, second = Owner.new(), Owner.new()
    assert Owner.parse(str(first)) == first
    assert first.pid == os.getpid()
    assert first != second
    assert "/" not in str(first)
    assert len(str(first)) < 100


@pytest.mark.parametrize("name", ["", "a.json", "0123abcd-1-2-zz-host", "0123abcd-1-2-0123abcd"])
def test_other_names_tell_nobody(name):
    assert Owner.parse(name) is None


def test_a_process_is_gone_when_it_has_ended(ended):
    assert ended.is_gone
    assert not Owner.new().is_gone


@needs_proc
def test_a_process_that_got_the_number_of_another_is_not_taken_for_it():
    ours = Owner.new()
    assert replace(ours, started=ours.started + 1).is_gone
    assert not replace(ours, started=0).is_gone  # nothing told when it started


@needs_proc
def test_a_process_that_nobody_has_collected_is_gone():
    process = subprocess.Popen([sys.executable, "-c", ""])
    owner = replace(Owner.new(), pid=process.pid, started=0)
    wait_until(lambda: owner.is_gone)
    process.wait()


def test_nobody_knows_of_a_process_on_another_machine(ended):
    elsewhere = replace(ended, machine="00000000")
    assert not elsewhere.is_gone
    assert not elsewhere.is_of_this_machine
