"""Each parser, fed damaged files: it returns, or raises an error of ours. A minute of fuzzing."""

import json
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from benchmarks.fuzz import mutated
from benchmarks.fuzz_targets import TARGETS
from hypothesis import HealthCheck, given, settings
from support.odd_values import as_toml, damaged_bytes, damaged_document

from dmlbench.errors import DmlbenchError

FOUND = Path(__file__).parent / "found"
"""Files on which a parser once failed with an error not ours: ``target/number``."""

EXAMPLES = {"command line": 15, "record": 60, "record, audited": 6, "matlab labels": 10}


def short(name: str) -> settings:
    """A few seconds, the same examples each time."""
    return settings(
        max_examples=EXAMPLES.get(name, 200),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


def feed(name: str, content: bytes) -> None:
    with suppress(DmlbenchError):
        TARGETS[name].run(content)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_bytes_are_refused_in_words(name):
    target = TARGETS[name]

    @short(name)
    @given(damaged_bytes(target.seeds(), target.words))
    def check(content):
        feed(name, content)

    check()


@pytest.mark.parametrize("name", ["protocol", "suite", "record"])
def test_odd_values_in_a_valid_document_are_refused_in_words(name):
    is_toml = name != "record"
    read = (lambda seed: tomllib.loads(seed.decode())) if is_toml else json.loads
    documents = [read(seed) for seed in TARGETS[name].seeds()]

    @short(name)
    @given(damaged_document(documents))
    def check(document):
        lines = (f"{json.dumps(key)} = {as_toml(value)}" for key, value in document.items())
        text = "\n".join(lines) if is_toml else json.dumps(document)
        feed(name, text.encode())

    check()


@pytest.mark.parametrize("path", sorted(FOUND.glob("*/*")), ids=lambda path: path.parent.name)
def test_what_fuzzing_found_stays_mended(path):
    feed(path.parent.name.replace("-", " "), path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_what_mutations_start_from_is_valid(name):
    """Else the mutations would test the first check alone."""
    TARGETS[name].run(TARGETS[name].seeds()[0])


def test_the_mutations_without_atheris_are_the_same_each_time():
    from random import Random

    seeds, words = [b"some text", b"more"], (b"word",)
    first, second = (
        [mutated(seeds, words, draw) for _ in range(50)] for draw in (Random(1), Random(1))
    )
    assert first == second
    assert len(set(first)) > 40
