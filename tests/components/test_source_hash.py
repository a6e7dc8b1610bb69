"""The hash of a component's source: what counts for it, and what does not."""

import sys
from hashlib import sha256
from pathlib import Path

import pytest

from dmlbench import PluginError
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import compose
from dmlbench.components.source_hash import source_hash
from dmlbench.storage.record_store import read_record

ROOT = Path(__file__).parents[2]
TRAINED = ("loss", "miner", "sampler", "backbone")


class Sources:
    """A folder with a package ``plug`` in which files can be edited."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.write("__init__", "")
        self.write("entry", "from plug.near import f\nfrom .base import Base\nclass C(Base): pass")
        self.write("near", "from . import far\ndef f(): return far")
        self.write("far", "x = 1")
        self.write("base", "class Base: pass")
        self.write("unrelated", "x = 1")

    def write(self, name: str, text: str) -> None:
        path = self.folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def hash(self) -> str:
        """Return the hash in a new import of the package."""
        for name in [name for name in sys.modules if name.split(".")[0] == "plug"]:
            del sys.modules[name]
        sys.path.insert(0, str(self.folder.parent))
        try:
            from plug.entry import C  # type: ignore[import-not-found]
        finally:
            sys.path.pop(0)
        return source_hash(C)


@pytest.fixture
def sources(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "one").mkdir()
    yield Sources(tmp_path / "one" / "plug")
    for name in [name for name in sys.modules if name.split(".")[0] == "plug"]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["entry", "near", "far", "base"])
def test_an_edit_to_what_a_component_is_made_of_changes_its_hash(sources, name):
    before = sources.hash()
    path = sources.folder / f"{name}.py"
    path.write_text(path.read_text() + "\n# another comment")
    assert sources.hash() != before


def test_an_edit_to_a_file_it_does_not_use_leaves_the_hash(sources):
    before = sources.hash()
    sources.write("unrelated", "x = 2")
    sources.write("new", "x = 2")
    assert sources.hash() == before


def test_the_same_source_in_another_folder_has_the_same_hash(sources, tmp_path):
    (tmp_path / "two").mkdir()
    assert Sources(tmp_path / "two" / "plug").hash() == sources.hash()


def test_all_that_is_imported_from_ones_own_package_counts(sources):
    sources.write("entry", "from plug.deep.loss import C")
    sources.write("deep/__init__", "")
    sources.write(
        "deep/loss",
        "import plug.kernels.exact, json\n"
        "from ..base import Base\nfrom . import beside\nfrom .. import LIMIT\n"
        "class C(Base):\n def f(self):\n  from plug.kernels import late, fast",
    )
    sources.write("deep/beside", "")
    sources.write("__init__", "LIMIT = 1")
    sources.write("base", "from plug.odd import Odd\nclass Base(Odd): pass")
    sources.write("odd", "class Odd: pass")
    sources.write("kernels/__init__", "def fast(): pass")
    sources.write("kernels/exact", "from .inner import f")
    for name in ("kernels/inner", "kernels/late", "kernels/json"):
        sources.write(name, "def f(): pass")
    before = sources.hash()
    used = "deep/loss deep/beside __init__ base odd kernels/exact kernels/inner kernels/late"
    for name in (*used.split(), "kernels/__init__"):
        path = sources.folder / f"{name}.py"
        text = path.read_text()
        path.write_text(f"{text}\n# another comment")
        assert sources.hash() != before, name
        path.write_text(text)
    for name in ("entry", "near", "kernels/json", "deep/__init__"):
        sources.write(name, f"{(sources.folder / f'{name}.py').read_text()}\n# unused")
    assert sources.hash() == before


def test_files_of_one_folder_are_hashed_by_their_names_and_content(sources):
    digest = sha256()
    for name in ("base.py", "entry.py", "far.py", "near.py"):
        digest.update(name.encode() + b"\0" + (sources.folder / name).read_bytes() + b"\0")
    assert sources.hash() == digest.hexdigest()


def test_sources_of_components_that_ship_are_those_of_their_records():
    """Tests run these records again, so they are to be made again when a component is edited."""
    recorded = {}
    for path in (ROOT / "tests" / "records" / "runs").rglob("*.json"):
        trial = read_record(path).trial
        for kind, part in {"dataset": trial.dataset, **trial.parts}.items():
            recorded[kind, part.reference] = part.source
    catalogue = Catalogue.discover()
    edited = [
        asked for asked, source in recorded.items() if compose(catalogue, *asked).source() != source
    ]
    assert edited == [], "run `python tests/records/make.py`"
    assert {kind for kind, _ in recorded} == {"dataset", "baseline", *TRAINED}


def test_an_import_that_is_no_python_is_named_with_its_line(sources):
    sources.write("near", "def f(): from . import far")
    sources.write("far", "x = 1\nclass :")
    with pytest.raises(PluginError, match=r"far\.py can't be read as Python: .*line 2"):
        sources.hash()


def test_a_compiled_class_has_a_hash_too():
    from array import array

    class Derived(array):
        pass

    assert len(source_hash(array)) == 64
    assert source_hash(Derived) != source_hash(array)
