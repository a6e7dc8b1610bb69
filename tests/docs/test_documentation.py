"""Every command and code block of the documentation works, in the order in which it is read."""

import csv
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "CONTRIBUTING.md"])
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def shell(command: str, folder: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would, with pip installing into a folder beside."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "installed"),
        "PIP_TARGET": str(folder / "installed"),
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's own reading: 0 switches isolation off
        **extra,
    }
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def blocks(page: Path) -> list[tuple[str, str, str]]:
    return [match.groups(default="") for match in BLOCK.finditer(page.read_text())]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("page", "elsewhere"),
    [
        (ROOT / "docs" / "plugins.md", 0),
        (ROOT / "docs" / "retrieval.md", 0),
        (ROOT / "docs" / "records.md", 0),
        (ROOT / "docs" / "suites.md", 0),
        (ROOT / "docs" / "python.md", 0),
        (ROOT / "docs" / "isolation.md", 0),
        (ROOT / "docs" / "executors.md", 0),
        (ROOT / "README.md", 2),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_code_of_a_page_runs(page, elsewhere, tmp_path):
    """All but the first blocks of the README, which have tests of their own below."""
    for language, title, text in blocks(page)[elsewhere:]:
        if title:
            (tmp_path / title).write_text(text)
        elif language == "console":
            for line in text.splitlines():
                command = line.removeprefix("$ ")
                done = shell(command, tmp_path)
                assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_no_code_block_escapes_the_tests():
    ran = {
        f"docs/{name}.md"
        for name in (
            "plugins",
            "retrieval",
            "records",
            "suites",
            "python",
            "isolation",
            "executors",
        )
    }
    for page in PAGES:
        if str(page.relative_to(ROOT)) not in ran:
            assert not blocks(page), f"{page} has code that no test runs"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_page_on_how_results_are_measured_says_what_protocols_share():
    from dmlbench.schemas.protocol_file import load_protocol
    from dmlbench.schemas.shipped_protocols import protocol_names

    text = (ROOT / "docs" / "protocol.md").read_text()
    protocols = [load_protocol(name) for name in protocol_names()]
    assert {protocol.validation.class_fraction for protocol in protocols} == {0.25, 0.0}
    assert "(`validation.class_fraction`): a quarter in those" in text
    frozen = {protocol.frozen: f"{protocol.baselines.fit_items:,}" for protocol in protocols}
    assert f"up to {frozen[False]} items (`frozen`: {frozen[True]})" in text


def test_a_protocol_that_follows_a_source_says_what_differs():
    from dmlbench.schemas.protocol_file import read_protocol_file
    from dmlbench.schemas.shipped_protocols import protocol_names

    is_our_own = generator("make_protocols").is_our_own
    files = [read_protocol_file(name) for name in protocol_names()]
    following = [file for file in files if not is_our_own(file.base)]
    assert following
    assert all(file.differs for file in following)


def test_the_dataset_table_says_what_the_datasets_say():
    from dmlbench.components.catalogue import Catalogue

    text = (ROOT / "docs" / "protocol.md").read_text()
    catalogue = Catalogue.discover()
    for entry in catalogue.of_kind("dataset"):
        starts = (f"| `{entry.name}`", f"| `{entry.name}:")
        (line,) = [line for line in text.splitlines() if line.startswith(starts)]
        _, component = catalogue.load("dataset", entry.name)
        for items, _ in component.expected.values():
            assert f"{items:,}" in line, (entry.name, items)


def test_the_page_of_records_says_what_the_code_says():
    from dmlbench.audit.reproduce import TOLERANCE
    from dmlbench.schemas.record import Record
    from dmlbench.statistics import LEAST_SEEDS
    from dmlbench.storage.record_store import MOST_BYTES

    text = (ROOT / "docs" / "records.md").read_text()
    assert f"each test metric within {TOLERANCE:g} of the record's" in text
    assert f"Why {TOLERANCE:g}:" in text
    assert f"larger than {MOST_BYTES >> 20} MiB" in text
    assert f"under {LEAST_SEEDS} common seeds" in text
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for name in set(Record.model_fields) - {"schema_version"}:
        assert any(f"`{name}`" in row for row in rows), name


def test_the_page_of_plugins_documents_every_hook_with_its_arguments():
    from dmlbench.contracts.hooks import Specification

    text = (ROOT / "docs" / "plugins.md").read_text().partition("\n## Hooks\n")[2]
    rows = {}
    for line in text.splitlines():
        if line.startswith("| `dmlbench_"):
            name, arguments, _ = line.strip("| ").split(" | ")
            rows[name.strip("`")] = set(re.findall(r"(?:^|; )`(\w+)`", arguments))
    hooks = {n: f for n, f in vars(Specification).items() if n.startswith("dmlbench_")}
    columns = hooks.pop("dmlbench_leaderboard_columns")
    expected = {name: set(inspect.signature(f).parameters) - {"self"} for name, f in hooks.items()}
    assert list(rows) == list(hooks), "in the order of a run"
    assert len(rows) == 6
    (more,) = re.findall(r"One more hook, `dmlbench_leaderboard_columns`,[^:]*", text)
    assert all(
        f"`{each}`" in more for each in inspect.signature(columns).parameters if each != "self"
    )
    assert rows == expected


def test_every_package_of_the_harness_has_a_line_in_contributing():
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("| package |")[2].partition("\n\n")[0]
    described = {name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line)}
    packages = {path.parent.name for path in ROOT.glob("bench/dmlbench/*/__init__.py")}
    assert packages
    assert packages <= described


def test_every_public_name_is_documented():
    import dmlbench

    for name in dmlbench.__all__:
        assert getattr(dmlbench, name).__doc__, name


def copy_of_the_checkout(folder: Path) -> Path:
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    for name in filter(None, names):
        if not name.startswith("leaderboards/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def test_ci_runs_the_test_command_of_the_readme():
    commands = [
        line.removeprefix("$ ")
        for _, _, text in blocks(ROOT / "README.md")
        for line in text.splitlines()
        if line.startswith("$ ")
    ]
    assert commands[1] in (ROOT / ".ci" / "run").read_text()


def readme_table(path: Path, rows: int = 8) -> str:
    """Return the table that the README shows of a leaderboard's CSV file."""
    with open(path, newline="") as file:
        lines = list(csv.DictReader(file))
    trained = [line for line in lines if line["kind"] == "trained"]
    floors = [line for line in lines if line["row"] in ("pixels", "untrained")]
    text = ["| | Recall@1 | R-Precision | MAP@R |", "|:--|--:|--:|--:|"]
    for line in (*trained[:rows], *floors):
        cells = [
            f"{100 * float(line[metric]):.1f} ± {100 * float(line[f'{metric}_half_width']):.1f}"
            for metric in ("recall@1", "r_precision", "map_at_r")
        ]
        text.append(" | ".join((f"| {line['row']}", *cells)) + " |")
    return "\n".join(text)


def test_the_readme_shows_the_published_table():
    text = (ROOT / "README.md").read_text()
    shown = re.search(r"<!-- table: (\S+) -->\n(.*?)\n?<!-- end of table -->", text, re.DOTALL)
    assert shown
    assert shown[2] == readme_table(ROOT / shown[1])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_main_job_of_the_readme(tmp_path):
    """In a checkout: install, run everything, and find that losses beat the untrained network."""
    folder = copy_of_the_checkout(tmp_path)
    _, _, text = next(block for block in blocks(ROOT / "README.md") if block[0] == "console")
    command = text.splitlines()[0].removeprefix("$ ")
    assert "dmlbench run --all" in command
    done = shell(command, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    losses = (ROOT / "docs" / "losses.md").read_text()
    explained = losses.partition("## Losses that hardly learn here")[2].partition("\n## ")[0]
    explained = set(re.findall(r"`([^`]+)`", explained))
    for dataset in ("glyphs", "digits-closed"):
        assert f"{dataset}/small.md" in done.stdout
        with open(folder / "results" / "leaderboards" / dataset / "small.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) >= 21
        assert not any(row["seeds_failed"] for row in rows)
        (untrained,) = [row for row in rows if row["row"] == "untrained"]
        for row in rows:
            if row["kind"] == "trained" and row["row"] not in explained:
                gain = float(row["map_at_r"]) - float(untrained["map_at_r"])
                assert gain > float(row["map_at_r_half_width"]), row["row"]
                assert gain > float(untrained["map_at_r_half_width"]), row["row"]


def generator(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["make_losses", "make_protocols", "make_full_grid"])
def test_a_page_that_is_made_says_what_it_is_made_from(name):
    module = generator(name)
    assert module.PAGE.read_text() == module.page()
