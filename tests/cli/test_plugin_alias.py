"""``dmlbench plugin alias``: rows go on after an edit that changes no figure."""

import json
import shutil
import sys

import pytest

LOSS = """
from dmlbench import Loss, as_pair_mask, masked_mean

class Mine(Loss):
    takes = "pairs"
    default_miner = "all-pairs"

    def forward(self, pairs, selection):
        return masked_mean(1 - pairs.similarity, as_pair_mask(selection, pairs).positive)
"""
EDITED = LOSS.replace("        return", "        unused = 0\n        return")


@pytest.mark.slow
def test_after_a_proof_nothing_runs_again(dmlbench, tiny, tmp_path):
    request = ("--dataset", "digits-closed", "--protocol", tiny, "--baseline", "none")

    def run(*options: object):
        own = ("--loss", "kept_part:Mine", "--seeds", 1, "--jobs", 0, "--device", "cpu")
        return dmlbench("run", *request, *own, *options)

    module = tmp_path / "kept_part.py"
    module.write_text(LOSS)
    assert run().code == 0
    (record,) = tmp_path.rglob("*Mine*seed0*.json")
    module.write_text(EDITED)
    assert "1 trial" in run("--dry-run").out
    result = dmlbench("plugin", "alias", record, "--device", "cpu")
    assert (result.code, "Equal to the bit: the loss kept_part:Mine" in result.out) == (0, True)
    assert (tmp_path / "source_aliases.toml").is_file()
    assert "0 trials" in run("--dry-run").out
    again = dmlbench("plugin", "alias", record)
    assert (again.code, "no alias is needed" in again.err) == (2, True)


@pytest.mark.slow
def test_a_renamed_package_and_entry_point_go_on_with_their_rows(dmlbench, tiny, tmp_path, install):
    request = ("--dataset", "digits-closed", "--protocol", tiny, "--baseline", "none")

    def run(loss: str, *options: object):
        return dmlbench("run", *request, "--loss", loss, "--jobs", 0, "--device", "cpu", *options)

    before = install("old-package", LOSS, {"dmlbench.losses": {"mine": "old_package:Mine"}})
    assert run("mine", "--seeds", 1).code == 0
    (record,) = tmp_path.rglob("*mine*seed0*.json")
    shutil.rmtree(before)
    entries = {"dmlbench.losses": {"yours": "new_package:Mine"}}
    after = install("new-package", LOSS, entries, site="after", version="2.0")
    assert "1 trial" in run("yours", "--seeds", 1, "--dry-run").out
    lost = dmlbench("plugin", "alias", record)
    assert lost.code == 2
    assert "There is no loss named 'mine'" in lost.err
    assert "say so: --renamed loss=NAME." in lost.err
    no_miner = dmlbench("plugin", "alias", record, "--renamed", "baseline=yours")
    assert (no_miner.code, "has no baseline; it has dataset" in no_miner.err) == (2, True)
    alias = ("plugin", "alias", record, "--renamed", "loss=yours", "--device", "cpu")
    proved = dmlbench(*alias)
    assert proved.code == 0, proved.err
    assert "the loss yours" in proved.out
    assert "goes on with the rows of mine of old-package" in proved.out
    assert (after / "source_aliases.toml").is_file()
    assert "0 trials to run" in run("yours", "--seeds", 1, "--dry-run").out
    assert "no alias is needed" in dmlbench(*alias).err

    assert "1 trial to run, 1 finished before" in run("yours", "--seeds", 2).out
    assert "0 trials to run, 2 finished before" in run("yours", "--seeds", 2).out
    tables = tmp_path / "tables"
    assert dmlbench("publish", "--output", tables).code == 0
    (table,) = tables.rglob("*.json")
    (row,) = json.loads(table.read_text())["rows"]
    assert (row["parts"]["loss"], row["seeds"]["finished"]) == ("yours", [0, 1])
    assert row["origin"].startswith("new-package 1.0, new-package 2.0; ")
    assert "--loss yours" in row["command"]
    assert json.loads(record.read_text())["id"] in row["trial_ids"]
    reproduced = dmlbench("reproduce", record, "--device", "cpu", "--jobs", 0)
    assert reproduced.code == 0, reproduced.err
    (after / "new_package.py").write_text(EDITED)
    sys.modules.pop("new_package")
    assert "1 trial to run" in run("yours", "--seeds", 1, "--dry-run").out
    assert dmlbench("plugin", "alias", record, "--renamed", "loss=yours").code == 0
    assert "0 trials to run" in run("yours", "--seeds", 2, "--dry-run").out
