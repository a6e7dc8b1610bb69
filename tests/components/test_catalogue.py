"""Finding, importing and checking components, without trust in any of them."""

import re
import subprocess
import sys
from importlib.metadata import distributions

import pytest

from dmlbench import ConfigError, PluginError
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.entry_points import KINDS, Entry
from dmlbench.components.importing import load_entry
from dmlbench.retrieval import METRICS

LOSS = '''
from dmlbench import Loss

class Some(Loss):
    """A loss."""
    takes = "labels"

    def forward(self, pairs, selection):
        return pairs.anchors.sum()
'''
MINER = """
from dmlbench import Miner, PairMask

class Other(Miner):
    makes = "pairs"

    def select(self, pairs):
        return PairMask(pairs.positive, pairs.negative)
"""


def normalised(name: str) -> str:
    return name.replace("_", "-").replace(".", "-").lower()


def names(kind: str) -> list[str]:
    return [entry.name for entry in Catalogue.discover().of_kind(kind)]


# The catalogue


def test_the_catalogue_is_what_importlib_metadata_says():
    expected = set()
    for distribution in distributions():
        for point in distribution.entry_points:
            kind = point.group.removeprefix("dmlbench.")
            if kind != point.group:
                name = normalised(distribution.metadata["Name"])
                expected.add((kind, point.name, name, distribution.version, point.value))
    found = {
        (KINDS.get(e.kind, e.kind), e.name, e.distribution, e.version, e.value)
        for e in Catalogue.discover().entries
    }
    ours = {e for e in found if e[4].startswith("dmlbench.retrieval.metrics:")}
    assert {name for _, name, *_ in ours} == set(METRICS), "they stand in one place, without any"
    assert found - ours == expected
    assert len(found) > 30


def test_entries_are_listed_without_importing_a_plugin(install):
    install("exploding", "raise SystemExit", {"dmlbench.losses": {"bang": "exploding:Bang"}})
    assert "bang" in names("loss")
    assert "exploding" not in sys.modules


def test_discovery_imports_neither_torch_nor_numpy():
    code = (
        "import sys, dmlbench; from dmlbench.components.catalogue import Catalogue\n"
        "assert Catalogue.discover().of_kind('loss')\n"
        "print(sorted({'torch', 'numpy', 'pydantic', 'importlib.metadata'} & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert output.strip() == "[]"


def test_a_distribution_found_first_on_the_path_shadows_the_same_one_later(install):
    old = install(
        "twice", LOSS, {"dmlbench.losses": {"old": "twice:Some"}}, version="1.0", site="later"
    )
    new = install(
        "twice", LOSS, {"dmlbench.losses": {"new": "twice:Some"}}, version="2.0", site="first"
    )
    assert [entry.name for entry in Catalogue.discover([str(new), str(old)]).entries] == ["new"]
    assert [entry.name for entry in Catalogue.discover([str(old), str(new)]).entries] == ["old"]


def test_one_folder_named_twice_on_the_path_is_read_once(install):
    site = str(install("once", LOSS, {"dmlbench.losses": {"some": "once:Some"}}))
    assert len(Catalogue.discover([site, site]).entries) == 1


@pytest.mark.parametrize(
    "folder", ["Zoo.Name-2.1.egg-info", "zoo_name-2.1-py3.11.egg-info", "Zoo_Name-2.1.dist-info"]
)
def test_every_form_of_metadata_folder_gives_name_and_version(tmp_path, folder):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "entry_points.txt").write_text("[dmlbench.losses]\nsome = zoo:Some\n")
    (entry,) = Catalogue.discover([str(tmp_path)]).entries
    assert (entry.distribution, entry.version) == ("zoo-name", "2.1")


def test_odd_lines_of_an_entry_point_file_are_read_as_installers_mean_them(tmp_path):
    (tmp_path / "odd-1.dist-info").mkdir()
    (tmp_path / "odd-1.dist-info" / "entry_points.txt").write_text(
        "# dmlbench.losses\n; a comment\nnowhere = a:B\n"
        "[console_scripts]\ntool = a:main\n"
        "[ dmlbench.losses ]\n  one=a:B\n\ntwo = a.b : C.D [extra, other]\nno equals sign\n"
        "[dmlbench.nothing]\nthree = a:B\n"
    )
    found = Catalogue.discover([str(tmp_path)]).entries
    assert [(e.kind, e.name, e.value) for e in found] == [
        ("loss", "one", "a:B"),
        ("loss", "two", "a.b:C.D"),
    ]


def test_folders_that_can_not_be_read_are_passed_over(tmp_path):
    (tmp_path / "file.zip").write_bytes(b"")
    (tmp_path / "bare-1.dist-info").mkdir()
    (tmp_path / "bytes-1.dist-info").mkdir()
    (tmp_path / "bytes-1.dist-info" / "entry_points.txt").write_bytes(b"dmlbench.\xff\n[")
    path = [str(tmp_path / "missing"), str(tmp_path / "file.zip"), str(tmp_path)]
    assert Catalogue.discover(path).entries == ()


# Names


def test_two_distributions_with_one_name_must_be_told_apart(install):
    for distribution in ("left-losses", "right-losses"):
        module = distribution.replace("-", "_")
        install(distribution, LOSS, {"dmlbench.losses": {"same": f"{module}:Some"}})
    catalogue = Catalogue.discover()
    with pytest.raises(ConfigError, match=r"'same'.*left-losses:same or right-losses:same\."):
        catalogue.load("loss", "same")
    found, component = catalogue.load("loss", "right-losses:same")
    assert (found.entry.distribution, component.__module__) == ("right-losses", "right_losses")
    references = catalogue.references("loss")
    assert {"left-losses:same", "right-losses:same", "triplet"} <= set(references)
    assert "same" not in references


def test_a_name_that_others_offer_too_still_means_its_own_at_home(install):
    install("stranger", MINER, {"dmlbench.miners": {"all-pairs": "stranger:Other"}})
    catalogue = Catalogue.discover()
    assert catalogue.qualify("miner", "all-pairs", "dmlbench") == "dmlbench:all-pairs"
    assert catalogue.qualify("miner", "all-pairs", "elsewhere") == "all-pairs"
    assert catalogue.qualify("miner", "random", "dmlbench") == "random"
    assert catalogue.load("loss", "contrastive")[0].entry.distribution == "dmlbench"


def test_a_member_of_a_family_still_means_its_own_at_home(install):
    install("stranger", MINER, {"dmlbench.backbones": {"timm": "stranger:Other"}})
    catalogue = Catalogue.discover()
    own = "dmlbench:timm/resnet50.a1_in1k"
    assert catalogue.qualify("backbone", "timm/resnet50.a1_in1k", "dmlbench") == own
    assert catalogue.qualify("backbone", own, "dmlbench") == own
    assert catalogue.qualify("backbone", "timm/resnet50", "elsewhere") == "timm/resnet50"
    assert catalogue.qualify("backbone", "small-conv", "dmlbench") == "small-conv"
    assert catalogue.qualify("backbone", "./net.py:Net", "dmlbench") == "./net.py:Net"


@pytest.mark.parametrize(
    ("reference", "other", "same"),
    [
        ("timm/resnet50", "dmlbench:timm/resnet50", True),
        ("timm/resnet50", "timm/resnet18", False),
        ("small-conv", "dmlbench:small-conv", True),
        ("small-conv", "linear", False),
        ("nowhere", "small-conv", False),
    ],
)
def test_references_are_compared_by_what_they_name(reference, other, same):
    catalogue = Catalogue.discover()
    assert catalogue.is_same("backbone", reference, other) is same
    assert catalogue.is_same("backbone", other, reference) is same


def test_a_typo_is_answered_by_the_nearest_name():
    with pytest.raises(ConfigError, match=r"no loss named 'tripplet'. Did you mean 'triplet'\?"):
        Catalogue.discover().find("loss", "tripplet")


@pytest.mark.parametrize("reference", ["", ":", "::", "a b:C", "module:1x", ":Class", "/", "a/b"])
def test_nonsense_is_no_reference(reference):
    with pytest.raises(ConfigError, match=r"'module:Class' or './file.py:Class'"):
        Catalogue.discover().find("loss", reference)


@pytest.mark.parametrize(
    ("reference", "name", "argument"),
    [
        ("timm/resnet50.a1_in1k", "timm", "resnet50.a1_in1k"),
        ("timm/a/b:c", "timm", "a/b:c"),
        ("dmlbench:timm/resnet50", "timm", "resnet50"),
        ("timm/", "timm", ""),
        ("timm", "timm", None),
    ],
)
def test_a_family_takes_what_follows_its_name(reference, name, argument):
    found = Catalogue.discover().find("backbone", reference)
    assert (found.entry.name, found.argument) == (name, argument)


def test_a_family_of_data_takes_a_path():
    found = Catalogue.discover().find("dataset", "folder:/home/me/My Photos")
    assert (found.entry.name, found.argument) == ("folder", "/home/me/My Photos")


# Import references


def test_a_class_of_ones_own_is_named_by_file_or_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_losses.py").write_text(LOSS)
    catalogue = Catalogue.discover()
    for reference in ("./own_losses.py:Some", f"{tmp_path}/own_losses.py:Some", "own_losses:Some"):
        found, component = catalogue.load("loss", reference)
        assert component.__name__ == "Some"
        assert (found.entry.name, found.entry.distribution) == (reference, "")
    by_file = catalogue.load("loss", "./own_losses.py:Some")[1]
    assert by_file is catalogue.load("loss", f"{tmp_path}/own_losses.py:Some")[1]
    sys.modules.pop("own_losses")


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("./missing.py:Some", "FileNotFoundError"),
        ("missing_module:Some", "ModuleNotFoundError: No module named 'missing_module'"),
        ("json:Some", "AttributeError"),
    ],
)
def test_what_is_not_there_is_said(tmp_path, monkeypatch, reference, reason):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(PluginError, match=rf"'{reference}' \(your own\) can't be loaded: {reason}"):
        Catalogue(()).load("loss", reference)


# Broken plugins


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import module_that_is_not_there", "ModuleNotFoundError: No module named"),
        ("raise RuntimeError('I am broken')", "RuntimeError: I am broken"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("class Some(", "SyntaxError"),
        ("", "AttributeError"),
    ],
)
def test_a_plugin_that_fails_to_import_is_named_and_hides_no_other(install, source, reason):
    install("broken-one", source, {"dmlbench.losses": {"broken": "broken_one:Some"}})
    install("sound-one", LOSS, {"dmlbench.losses": {"sound": "sound_one:Some"}})
    catalogue = Catalogue.discover()
    words = rf"The loss 'broken' of broken-one 1.0 can't be loaded: {reason}"
    with pytest.raises(PluginError, match=words):
        catalogue.load("loss", "broken")
    assert catalogue.load("loss", "sound")[1].takes == "labels"


@pytest.mark.parametrize(
    ("kind", "source", "reason"),
    [
        ("loss", "Some = 3", "is no class but 3"),
        ("loss", "def Some(): pass", "is no class"),
        ("loss", "class Some: pass", "does not derive from dmlbench.Loss"),
        ("miner", LOSS, "does not derive from dmlbench.Miner"),
        (
            "loss",
            "from dmlbench import Loss\nclass Some(Loss): takes = 'labels'",
            "'some' of faulty 1.0 lacks: forward",
        ),
        (
            "loss",
            LOSS.replace('"labels"', '"images"'),
            "must state 'takes' as one of pairs, triplets, labels",
        ),
        (
            "loss",
            LOSS.replace("takes =", "took ="),
            "must state 'takes' as one of pairs, triplets, labels",
        ),
        ("loss", LOSS.replace('"labels"', '"pairs"'), "names no default_miner"),
        (
            "loss",
            LOSS.replace('"labels"', '"pairs"; default_miner = "semihard"'),
            "no usable default_miner: There is no miner named 'semihard'. Did you mean 'semi-hard'",
        ),
        (
            "miner",
            MINER.replace("Other", "Some").replace('"pairs"', '"quadruplets"'),
            "must state 'makes' as one of pairs, triplets",
        ),
        (
            "sampler",
            "from dmlbench import Sampler\nclass Some(Sampler): pass",
            "lacks: batches",
        ),
        (
            "dataset",
            "from dmlbench import Dataset\nclass Some(Dataset):\n"
            " evaluation = 'guess'\n def load(self, data_dir): return {}",
            "must state 'evaluation' as one of retrieval, query-gallery, cross-validation",
        ),
        (
            "baseline",
            "class Some:\n def fit(self, X, y): return self",
            "has no method 'transform'",
        ),
        (
            "loss",
            LOSS.replace("takes", "own_lr_mutliple = 100; takes"),
            "states 'own_lr_mutliple', which nobody reads. Did you mean 'own_lr_multiple'?",
        ),
        ("loss", LOSS.replace("takes", "normalise = False; takes"), "Did you mean 'normalize'?"),
        (
            "loss",
            LOSS.replace("forward", "extends(self, pairs): return pairs\n\n    def forward"),
            "Did you mean 'extend'?",
        ),
        (
            "loss",
            LOSS.replace("Some", "Base") + "class Some(Base):\n starts_epoch = True",
            "Did you mean 'starts_epochs'?",
        ),
        (
            "loss",
            LOSS.replace("forward", "start_epoch(self, embeddings, labels): ...\n    def forward"),
            "start_epoch that is never called. State starts_epochs = True.",
        ),
        (
            "dataset",
            "from dmlbench import Dataset\nclass Some(Dataset):\n"
            " license = 'MIT'\n def load(self, data_dir): return {}",
            "Did you mean 'licence'?",
        ),
    ],
)
def test_a_class_that_breaks_its_contract_is_refused(install, kind, source, reason):
    install("faulty", source, {f"dmlbench.{KINDS[kind]}": {"some": "faulty:Some"}})
    with pytest.raises(PluginError) as refused:
        Catalogue.discover().load(kind, "some")
    assert reason in str(refused.value)
    assert "of faulty 1.0" in str(refused.value)


def test_names_of_ones_own_may_be_like_those_that_are_stated_or_of_another_sort(install):
    source = LOSS.replace("takes", "views = 2; view = 1; _normalise = True; takes")
    methods = "reduce(self): ...\n\n    def forwards(self): ...\n\n    def forward"
    source = source.replace("forward", methods)
    install("own-names", source, {"dmlbench.losses": {"own": "own_names:Some"}})
    assert Catalogue.discover().load("loss", "own")[1].view == 1


def test_an_estimator_of_scikit_learn_is_a_baseline_as_it_stands():
    _, component = Catalogue(()).load("baseline", "sklearn.decomposition:PCA")
    assert component.__name__ == "PCA"


def test_all_that_is_installed_with_dmlbench_keeps_its_contract():
    catalogue = Catalogue.discover()
    for kind in KINDS:
        for entry in catalogue.of_kind(kind):
            if entry.distribution == "dmlbench":
                assert catalogue.load(kind, entry.qualified)[1]


def test_a_hook_plugin_may_be_a_whole_module():
    module = load_entry(Entry("hooks", "some", "elsewhere", "1.0", "os.path"))
    assert module is sys.modules["os.path"]


def test_a_folder_or_a_network_named_without_its_family_is_answered_with_it(tmp_path, monkeypatch):
    (tmp_path / "pictures").mkdir()
    monkeypatch.chdir(tmp_path)
    catalogue = Catalogue.discover()
    for kind, name, hint in (
        ("dataset", "pictures", "'folder:pictures'"),
        ("dataset", str(tmp_path / "missing"), f"'folder:{tmp_path}/missing'"),
        ("backbone", "vit_tiny_patch16_224", "'timm/vit_tiny_patch16_224'"),
    ):
        with pytest.raises(ConfigError, match=re.escape(f"Did you mean {hint}?")):
            catalogue.find(kind, name)
    with pytest.raises(ConfigError, match="Did you mean 'small-conv'"):
        catalogue.find("backbone", "smallconv")
