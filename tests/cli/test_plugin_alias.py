"""``dmlbench plugin alias``: rows go on after an edit that changes no figure."""

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
