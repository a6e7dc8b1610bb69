"""The kit itself: it survives what it checks, leaves no trace, and says where an error is from."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from testing.faulty_loss_facts import AsksForASeed, NoBaseClass
from testing.faulty_loss_state import SetsASeed, SetsThreads
from testing.faulty_losses import DividesByItsSetting, Exits
from testing.sound_losses import Sound, SoundMemory, SoundProxies, SoundViews

from dmlbench import Dataset
from dmlbench.components.entry_points import KINDS
from dmlbench.testing import check, checks


def outcomes(findings):
    return {each.check: each.outcome for each in findings}


@pytest.mark.parametrize("kind", [*KINDS, "hooks"])
def test_every_check_reads_as_a_claim_and_says_what_must_hold(kind):
    for each in checks(kind):
        assert each.__name__.count("_") >= 2
        assert each.__doc__.endswith(".")
    names = [each.__name__ for each in checks(kind)]
    assert len(names) == len(set(names)) >= (5 if kind == "hooks" else 13)


def test_where_a_foundation_fails_the_rest_is_not_run():
    findings = check("loss", NoBaseClass)
    assert findings[0].outcome == "failed"
    assert {each.outcome for each in findings[1:]} == {"skipped"}
    assert "the check 'it is a component of its kind' failed" in findings[1].text
    later = check("loss", AsksForASeed)
    assert outcomes(later)["its_signature_can_be_read"] == "passed"
    assert outcomes(later)["diverged_embeddings_give_nan"] == "skipped"


def test_what_a_component_raises_names_the_line_of_its_own_file():
    failed = [each for each in check("loss", Exits) if each.outcome == "failed"]
    assert len(failed) > 10
    for each in failed:
        assert "Exits raised SystemExit: 7 (" in each.text
        assert "faulty_losses.py, line " in each.text
        assert "sys.exit(7)" in each.text
        assert "What must hold: " in each.text
    assert len({each.cause for each in failed}) == 1


def test_only_a_user_s_interrupt_ends_an_examination():
    class Interrupted(Sound):
        """Is interrupted."""

        def forward(self, pairs, selection):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("loss", Interrupted)


def test_an_examination_leaves_no_trace():
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    numbers, environment = np.random.get_state()[1].copy(), dict(os.environ)
    for component in (SetsASeed, SetsThreads, SoundMemory):
        check("loss", component)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numbers)
    assert not torch.are_deterministic_algorithms_enabled()
    assert dict(os.environ) == environment
    assert random.random() == random.Random(5).random()


def test_checks_that_do_not_concern_a_loss_are_left_out():
    of_pairs, of_proxies = check("loss", Sound), check("loss", SoundProxies)
    assert outcomes(of_pairs)["its_own_parameters_have_gradients"] == "skipped"
    assert outcomes(of_proxies)["its_own_parameters_have_gradients"] == "passed"
    assert outcomes(of_proxies)["empty_selections_give_zero_with_a_zero_gradient"] == "skipped"
    assert outcomes(of_proxies)["the_order_of_the_references_does_not_matter"] == "skipped"
    adding = "what_it_adds_to_the_pairs_keeps_each_anchor_in_its_place"
    assert outcomes(of_pairs)[adding] == "skipped"
    assert outcomes(check("loss", SoundMemory))[adding] == "passed"
    epochs = outcomes(check("loss", SoundViews, {"power": 1, "pull": False}))
    assert epochs["it_announces_that_it_starts_epochs"] == "passed"
    assert epochs["training_by_it_finds_the_classes"] == "passed"


def test_a_family_is_checked_by_one_of_its_members():
    class Family(Dataset):
        """Anybody's data."""

        paper = licence = "tests"

        def __init__(self, path: str):
            self.path = path

        def missing(self, data_dir):
            return f"make the folder {self.path}, with a folder for each class."

        def load(self, data_dir):
            return {}

    without = outcomes(check("dataset", Family))
    assert without["it_can_be_made"] == without["stated_facts_are_usable"] == "skipped"
    member = outcomes(check("dataset", Family, argument="here"))
    assert member["missing_says_how_to_get_the_data"] == "passed"
    assert member["its_splits_hold_what_it_promises"] == "skipped"


def test_photos_are_decoded_for_the_check_alone_and_not_into_the_user_s_cache(tmp_path):
    for name in ("a/1", "a/2", "b/1", "b/2", "c/1", "c/2", "d/1", "d/2"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 50), 50).save(tmp_path / "photos" / f"{name}.png")
    code = (
        "from dmlbench.components.catalogue import Catalogue\n"
        "from dmlbench.testing import check\n"
        "component = Catalogue.discover().load('dataset', 'folder')[1]\n"
        "found = {one.check: one.outcome for one in check('dataset', component, None, 'photos')}\n"
        "assert found['its_splits_hold_what_it_promises'] == 'passed', found\n"
    )
    (tmp_path / "temporary").mkdir()
    places = {"DMLBENCH_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "temporary")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | places,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "cache").exists()
    assert not list((tmp_path / "temporary").rglob("*.store"))


def test_settings_are_checked_instead_of_the_defaults():
    name = "its_value_has_a_gradient_to_the_embeddings"
    assert outcomes(check("loss", DividesByItsSetting))[name] == "passed"
    assert outcomes(check("loss", DividesByItsSetting, {"temperature": 0.0}))[name] == "failed"


def test_a_third_party_s_test_file_is_two_lines(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dmlbench import Loss\n\n\n"
        "class Mine(Loss):\n"
        '    """Mine."""\n\n'
        '    takes = "labels"\n\n'
        "    def forward(self, pairs, selection):\n"
        "        return pairs.anchors.sum() * 0 + 1\n"
    )
    (tmp_path / "test_mine.py").write_text(
        "from mine import Mine\n"
        "from dmlbench.testing import conformance_tests\n"
        'test_mine = conformance_tests("loss", Mine)\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rfs", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert any("[its_value_has_a_gradient_to_the_embeddings]" in line for line in failed)
    assert any("[training_by_it_finds_the_classes]" in line for line in failed)
    assert len(failed) <= 4
    assert "The network learns nothing" in done.stdout
    assert "ConformanceWarning: It names no paper." in done.stdout
    assert "Traceback" not in done.stdout
    assert "It takes labels, and no miner." in done.stdout


def test_importing_the_kit_does_not_import_pytest():
    code = "import sys, dmlbench.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
