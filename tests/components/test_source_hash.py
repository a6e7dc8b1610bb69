"""The hash of a component's source: what counts for it, and what does not."""

import importlib
import os
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from dmlbench import PluginError
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import compose
from dmlbench.components.file_hashes import file_hashes
from dmlbench.components.source_hash import source_of
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
        return source_of(self.component()).hash

    def component(self) -> type:
        """Return the class in a new import of the package."""
        for name in [name for name in sys.modules if name.split(".")[0] == "plug"]:
            del sys.modules[name]
        sys.path.insert(0, str(self.folder.parent))
        try:
            from plug.entry import C  # type: ignore[import-not-found]
        finally:
            sys.path.pop(0)
        return C


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
    path.write_text(path.read_text() + "\ny = 2")
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
        path.write_text(f"{text}\ny = 2")
        assert sources.hash() != before, name
        path.write_text(text)
    for name in ("entry", "near", "kernels/json", "deep/__init__"):
        sources.write(name, f"{(sources.folder / f'{name}.py').read_text()}\ny = 2")
    assert sources.hash() == before


EDITED = {
    "comment": "class C(object):  # of the paper\n    pass\n    # end",
    "docstring": 'class C(object):\n    """What it is."""\n\n    pass',
    "docstring on top": '"""Module."""\nclass C(object):\n    pass',
    "blank lines and white space": "\n\nclass  C( object ) :\n\n        pass",
    "lines broken": "class C(\n    object\n):\n    pass",
    "carriage returns": "\r\nclass C(object):\r\n    pass\r\n",
    "a byte order mark": "\ufeffclass C(object):\n    pass",
}
CHANGED = {
    "a name": "class C(Base): x = None",
    "a string": 'class C(Base):\n    x = "What it is."\n    pass',
    "a string in no first place": 'class C(Base):\n    pass\n    "What it is."',
    "blocks": "class C(Base): pass\nif C:\n    x = 1\ny = 1",
}


@pytest.mark.parametrize("text", EDITED.values(), ids=EDITED)
def test_what_can_not_change_a_figure_leaves_the_hash(sources, text):
    sources.write("entry", "class C(object):\n    pass")
    before = sources.hash()
    sources.write("entry", text)
    assert sources.hash() == before


@pytest.mark.parametrize("text", CHANGED.values(), ids=CHANGED)
def test_what_can_change_a_figure_changes_the_hash(sources, text):
    sources.write("entry", "class C(object): pass\nif C:\n    x = 1\n    y = 1")
    before = sources.hash()
    sources.write("entry", text.replace("Base", "object"))
    assert sources.hash() != before


def test_a_module_that_is_moved_and_renamed_keeps_the_hash(sources):
    before = sources.hash()
    for name in ("near", "far", "base"):
        (sources.folder / f"{name}.py").unlink()
    sources.write(
        "entry", "from .zoo.root import Base\nfrom plug.zoo.close import f\nclass C(Base): pass"
    )
    sources.write("zoo/close", "from .. import away as far\ndef f(): return far")
    sources.write("away", "x = 1")
    sources.write("zoo/root", "class Base: pass")
    assert sources.hash() == before
    sources.write("away", "x = 2")
    assert sources.hash() != before


def test_imports_that_run_in_circles_are_covered(sources):
    sources.write("far", "from plug import near, entry\nx = 1")
    before = sources.hash()
    sources.write("far", "from plug import near, entry\nx = 2")
    assert sources.hash() != before


def test_a_package_in_a_zip_archive_is_covered_as_in_a_folder(sources, tmp_path, monkeypatch):
    in_a_folder = sources.hash()
    archive = tmp_path / "plugins.zip"
    monkeypatch.syspath_prepend(str(archive))

    def packed() -> str:
        with ZipFile(archive, "w") as file:
            for path in sources.folder.glob("*.py"):
                file.write(path, f"plug/{path.name}")
        importlib.invalidate_caches()
        for name in [name for name in sys.modules if name.split(".")[0] == "plug"]:
            del sys.modules[name]
        component = importlib.import_module("plug.entry").C
        assert str(archive) in sys.modules["plug.entry"].__file__
        return source_of(component).hash

    assert packed() == in_a_folder
    for name in ("far", "entry"):
        before = packed()
        path = sources.folder / f"{name}.py"
        path.write_text(path.read_text() + "\ny = 2")
        assert packed() != before, name
    before = packed()
    sources.write("unrelated", "x = 2")
    assert packed() == before


def test_a_class_without_a_file_is_refused():
    component = type("Typed", (), {"__module__": "typed_in"})
    with pytest.raises(PluginError, match="typed_in:Typed has no file of source code"):
        source_of(component)


def test_a_single_file_counts_what_it_imports_from_beside_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "lone_part.py").write_text("import lone_steps\nimport json\nclass C: pass")
    (tmp_path / "json.py").write_text("x = 1")  # the standard library's comes first
    (tmp_path / "lone_steps.py").write_text("x = 1")
    import lone_part  # type: ignore[import-not-found]

    before = source_of(lone_part.C).hash
    (tmp_path / "json.py").write_text("x = 2")
    assert source_of(lone_part.C).hash == before
    (tmp_path / "lone_steps.py").write_text("x = 2")
    assert source_of(lone_part.C).hash != before
    monkeypatch.delitem(sys.modules, "lone_part")


def test_libraries_that_dmlbench_does_not_require_are_told_with_their_versions(sources, install):
    sources.write("near", "import some_helper.parts as s, torch, json, pluggy\ndef f(): return 1")
    sources.write("entry", "def f():\n    from plug.near import f\nclass C: pass")
    folder = install("some-helper", "x = 1", {}, version="1.5")
    record = folder / "some_helper-1.5.dist-info" / "RECORD"
    record.write_text("some_helper.py,,\n")
    (record.parent / "METADATA").write_text("Name: some-helper\nVersion: 1.5\n")
    code = source_of(sources.component())
    assert code.libraries == {"some-helper": "1.5"}
    (folder / "some_helper.py").write_text("x = 2")
    assert source_of(sources.component()) == code, "its version counts, not its source"


def test_a_file_replaced_by_one_of_the_same_size_and_time_has_another_hash(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    before, stat = file_hashes({"weights": path}), path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file_hashes({"weights": path}) != before


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

    assert len(source_of(array).hash) == 64
    assert source_of(Derived).hash != source_of(array).hash
