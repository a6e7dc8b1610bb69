"""Edited code keeps the rows of the code before, if one trial of each is equal to the bit."""

import sys

import pytest
import torch

from dmlbench.audit.source_proof import NewAlias, add_alias, prove_aliases
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.source_aliases import as_first, installed_aliases
from dmlbench.components.workplace import Workplace
from dmlbench.errors import ConfigError
from dmlbench.leaderboard.tables import make_tables
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import Trial
from dmlbench.trials.run_trial import run_trial

BEFORE = """
from dmlbench import Loss, as_pair_mask, masked_mean

class Pulling(Loss):
    takes = "pairs"
    default_miner = "all-pairs"

    def forward(self, pairs, selection):
        return masked_mean(1 - pairs.similarity, as_pair_mask(selection, pairs).positive)
"""
AFTER = BEFORE.replace("Pulling", "Attracting").replace(
    "return masked_mean(1 - pairs.similarity, as_pair_mask(selection, pairs).positive)",
    "near = as_pair_mask(selection, pairs).positive\n"
    "        return masked_mean(1 - pairs.similarity, near)",
)
OTHER = BEFORE.replace("1 -", "2 -")


@pytest.fixture
def plan_with(install, trial_of):
    """Return a function that plans a trial with the loss of a package whose source is given."""
    folders = []

    def plan(source: str, attribute: str = "Pulling", seed: int = 0):
        entries = {"dmlbench.losses": {"pulling": f"aliased_part:{attribute}"}}
        if not folders:
            folders.append(install("aliased-part", source, entries))
        (folders[0] / "aliased_part.py").write_text(source)
        information = folders[0] / "aliased_part-1.0.dist-info" / "entry_points.txt"
        information.write_text(f"[dmlbench.losses]\npulling = aliased_part:{attribute}\n")
        sys.modules.pop("aliased_part", None)
        return trial_of(losses=("pulling",), seeds=(seed,))

    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    yield plan
    sys.dont_write_bytecode = before


def run_here(trial: Trial) -> Record:
    record = run_trial(trial, Workplace(Catalogue.discover(), None, torch.device("cpu")))
    assert record.status == "finished", record.reason
    return record


def proved(record: Record) -> list[NewAlias]:
    return prove_aliases(record, Catalogue.discover(), lambda one: run_here(one.trial))


def test_code_that_gives_the_same_figures_keeps_its_rows(plan_with):
    before = plan_with(BEFORE)
    record = run_here(before)
    edited = plan_with(AFTER, "Attracting")
    assert edited.id != before.id
    made_meanwhile = run_here(plan_with(AFTER, "Attracting", seed=1))
    (new,) = proved(record)
    add_alias(new)
    again = plan_with(AFTER, "Attracting")
    assert again.id == before.id
    assert run_here(again).metrics == record.metrics
    assert new.path.read_text().count("[[alias]]") == 1
    add_alias(new)
    assert new.path.read_text().count("[[alias]]") == 1

    aliases = installed_aliases(Catalogue.discover())
    assert len(make_tables([record, made_meanwhile])[0].rows) == 2
    one_row = make_tables([as_first(one, aliases) for one in (record, made_meanwhile)])
    assert [row.id for row in one_row[0].rows] == [before.row]


def test_a_record_of_the_new_code_can_still_be_run_again(plan_with):
    record = run_here(plan_with(BEFORE))
    new_code = plan_with(AFTER, "Attracting")
    add_alias(*proved(record))
    assert run_here(new_code).status == "finished"


def test_code_that_gives_other_figures_gets_no_alias(plan_with):
    record = run_here(plan_with(BEFORE))
    plan_with(OTHER)
    with pytest.raises(ConfigError, match=r"gives other figures .* first is .*epochs"):
        proved(record)


def test_what_was_not_edited_needs_no_alias(plan_with):
    record = run_here(plan_with(BEFORE))
    plan_with(BEFORE.replace("class Pulling", "# Why.\nclass Pulling"))
    with pytest.raises(ConfigError, match="no alias is needed"):
        proved(record)


def test_a_damaged_file_of_aliases_is_named(plan_with):
    record = run_here(plan_with(BEFORE))
    plan_with(AFTER, "Attracting")
    (new,) = proved(record)
    new.path.write_text("[[alias]]\nold = 'abc'\n")
    with pytest.raises(ConfigError, match=r"source_aliases\.toml is not a valid aliasfile: .*old"):
        plan_with(AFTER, "Attracting")
