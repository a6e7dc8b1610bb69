"""What is fuzzed: each parser of what strangers write, and the valid inputs that it starts from.

A target takes bytes. It may return or raise a `DmlbenchError`; anything else is a crash. Those of
plugins' parsers run as the harness runs them, inside `guarded`.
"""

import io
import json
import os
import struct
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

import click
import numpy as np

from dmlbench.api.auditing import diff, merge
from dmlbench.api.records import Records
from dmlbench.api.scoring import score
from dmlbench.audit.plausibility import faults
from dmlbench.audit.reproduce import plan_again
from dmlbench.cli.main import group
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.hyperparameters import Hyperparameter
from dmlbench.components.workplace import Workplace
from dmlbench.errors import DmlbenchError, guarded
from dmlbench.leaderboard.publish import table_files
from dmlbench.reading import parse_json
from dmlbench.schemas.protocol_file import read_protocol_file
from dmlbench.schemas.record import Record
from dmlbench.schemas.shipped_protocols import FOLDER
from dmlbench.schemas.suite import load_suite
from dmlbench.storage.record_store import read_record
from dmlbench_datasets.idx import parse_idx, to_idx
from dmlbench_datasets.label_files import as_number, inside, read_matlab_columns, read_rows

_TESTS = Path(__file__).parents[1] / "tests"
RECORDS = _TESTS / "schemas" / "records-0.1"
REPRODUCIBLE = _TESTS / "records" / "runs"


@dataclass(frozen=True)
class Target:
    """A parser."""

    name: str
    run: Callable[[bytes], object]
    """Returns, or raises a `DmlbenchError`, for any bytes."""
    seeds: Callable[[], list[bytes]]
    """Valid inputs, from which mutations start."""
    words: tuple[bytes, ...] = ()
    """What the format is written with: mutations put these in."""


@cache
def _folder() -> Path:
    return Path(mkdtemp(prefix="dmlbench-fuzz-"))


def _file(name: str, content: bytes) -> Path:
    path = _folder() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


# Requests

_TOML = tuple(
    b'[[ ]] [ ] { } = " """ \' . , # \\u0000 \\ud800 -1 0 1e400 nan inf true 1979-05-27 '
    b"99999999999999999999 0x_ [[[[[[[[ a.a.a.a.a.a name datasets origins settings".split(b" ")
)


def _protocols() -> list[bytes]:
    return [path.read_bytes() for path in sorted(Path(FOLDER).glob("*.toml"))]


def _suites() -> list[bytes]:
    return [
        b'datasets = ["digits"]\nlosses = ["triplet", "arcface"]\nseeds = [0, 1]\n'
        b'[settings]\nloss.margin = 0.2\nprotocol.length.epochs = 2\n"loss.triplet.margin" = 1\n',
        b'datasets = ["all"]\nlosses = "all"\nminers = "default"\nbaselines = ["pca"]\n',
    ]


def _setting(content: bytes) -> None:
    """Read a value of ``--set`` as each type that a hyper-parameter may have."""
    text = content.decode(errors="surrogateescape")
    for kind in (int, float, bool, str, tuple[int, ...], list[float], dict[str, Any], None):
        for hint in (kind, kind | None) if kind else (None, Literal["a", 1]):
            try:
                Hyperparameter("x", None, hint).parse(text)
            except DmlbenchError as error:
                str(error).encode(errors="surrogateescape")


_VERBS = {
    "run": ("--dry-run", "--jobs", "0"),
    "show": (),
    "list": (),
    "score": (),
    "publish": ("--check",),
    "diff": (),
    "merge": ("--dry-run",),
}


@cache
def _place() -> Path:
    """Return a folder with a file of each kind that arguments may name."""
    place = _folder() / "place"
    runs = place / "runs"
    runs.mkdir(parents=True)
    for record in RECORDS.glob("*.json"):
        (runs / record.name).write_bytes(record.read_bytes())
    (place / "mine.toml").write_bytes((Path(FOLDER) / "small.toml").read_bytes())
    (place / "suite.toml").write_bytes(_suites()[0])
    np.savez(place / "items.npz", embeddings=_VECTORS, labels=_LABELS)
    os.mkfifo(place / "pipe.toml")
    return place


def _command(content: bytes) -> None:
    """Run the command line, an argument a line; only verbs and options that write nothing."""
    arguments = content.decode(errors="surrogateescape").split("\n")
    verb = arguments[0]
    if verb not in _VERBS or any(word.startswith("/") or ".." in word for word in arguments):
        return
    silent = partial(io.TextIOWrapper, io.BytesIO(), errors="surrogateescape")
    ends = suppress(SystemExit, click.ClickException, click.Abort)
    with chdir(_place()), redirect_stdout(silent()), redirect_stderr(silent()), ends:
        group.main([*arguments, *_VERBS[verb]], standalone_mode=False)


def _commands() -> list[bytes]:
    lines = (
        "run --dataset digits --loss triplet --set loss.margin=0.3 --seeds 0,1",
        "run --suite suite.toml --protocol mine.toml",
        "run --dataset iris --baseline pca,pixels --protocol small --set protocol.batch_size=32",
        "run --dataset digits --loss triplet+0.1*center --miner semi-hard --sampler paper",
        "run --all --dataset iris --device cpu --metrics map,mrr --output out",
        "show loss triplet",
        "show protocol mine.toml",
        "list losses --long",
        "score items.npz --recall-at 1,2 --distance euclidean --ignore-labels 1 --json",
        "score items.npz --gallery items.npz --leave-out labels --map --precision-at 2",
        "publish --runs runs --output tables",
        "diff runs runs --json",
        "merge runs --into mine",
    )
    return [line.replace(" ", "\n").encode() for line in lines]


# Records

_JSON = tuple(
    b'{ } [ ] : , " -1 0 1e400 NaN null true \\u0000 \\ud800 1e308 99999999999999999999 [[[[[[[['
    b" per_query metrics trial settings protocol parts dtype data <f4 object".split(b" ")
)


def _records() -> list[bytes]:
    return [path.read_bytes() for path in sorted(RECORDS.glob("*.json"))]


def _reproducible() -> list[bytes]:
    return [path.read_bytes() for path in sorted(REPRODUCIBLE.rglob("*-seed0-*.json"))]


def _with_its_id(content: bytes) -> bytes:
    """Return a record whose id is that of its trial, so that mutations get past that check."""
    try:
        values = parse_json(content)
        values["id"] = Record.model_validate(values).trial.id
        return json.dumps(values).encode()
    except (ValueError, TypeError, KeyError):
        return content


def _record(content: bytes) -> None:
    record = read_record(_file("record.json", _with_its_id(content)))
    faults(record)
    record.to_json()
    records = Records([record])
    records.trials()
    records.epochs()
    diff(records, Records([read_record(RECORDS / "loss.json")]))
    records.queries()


def _audit(content: bytes) -> None:
    """Merge a record, make its tables, and plan to reproduce it."""
    path = _file("theirs/record.json", _with_its_id(content))
    merge(path.parent, _folder() / "ours", dry_run=True)
    record = read_record(path)
    from dmlbench.api.publishing import tables

    table_files(tables(Records([record])))
    import torch

    catalogue = Catalogue.discover()
    plan_again([record], Workplace(catalogue, None, torch.device("cpu"), _folder() / "cache"))


# Data

_BINARY = (b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x7f", b"\x80", b"\0\0\0\x80", b"\xff" * 8)


def _idx(content: bytes) -> None:
    with guarded("Loading a set"):
        parse_idx(content, "a file")


def _idx_files() -> list[bytes]:
    return [to_idx(bytes(12), 3, 2, 2), to_idx(bytes(3), 3), to_idx(b"", 0)]


def _idx_of(dimensions: int) -> bytes:
    return struct.pack(f">2x2B{dimensions}I", 8, dimensions, *[1] * dimensions) + b"\7"


def _lines(content: bytes) -> None:
    """Read the lines of a label file with a header, as of SOP and of In-shop."""
    path = _file("labels.txt", content)
    with guarded("Loading a set"):
        for where, fields in read_rows(path, "image_id class_id path", header=("image_id .*",)):
            as_number(fields[0], where)
            inside(fields[2], where)


def _label_files() -> list[bytes]:
    return [
        b"image_id class_id path\n1 1 bicycle_final/111085122871_0.JPG\n2 1 b/a b.JPG\n",
        "image_id class_id path\r\n1\t12 café/1.JPG\r\n\r\n".encode(),
    ]


def _matlab(content: bytes) -> None:
    path = _file("labels.mat", content)
    with guarded("Loading a set"):
        for where, (name, number) in read_matlab_columns(path, "fname", "class"):
            inside(str(name), where)
            as_number(number, where)


def _matlab_files() -> list[bytes]:
    from scipy.io import savemat

    table = np.zeros(2, dtype=[("fname", object), ("class", object)])
    table["fname"], table["class"] = ["a.jpg", "b.jpg"], [1, 2]
    found = []
    for packed in (False, True):
        file = io.BytesIO()
        savemat(file, {"annotations": table}, do_compression=packed)
        found.append(file.getvalue())
    return found


# Embeddings

_VECTORS = np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3)
_LABELS = np.arange(8) // 2


def _scored(suffix: str, content: bytes) -> None:
    labels = _file("labels.npy", _npy_of(_LABELS)) if suffix == ".npy" else None
    score(_file(f"items{suffix}", content), labels=labels, recall_at=(1,))


def _npy_of(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _npy_files() -> list[bytes]:
    arrays = (_VECTORS, _VECTORS.astype(">f8"), np.asfortranarray(_VECTORS), _LABELS.astype(str))
    return [_npy_of(array) for array in arrays]


def _npz_files() -> list[bytes]:
    found = []
    for save in (np.savez, np.savez_compressed):
        for labels in (_LABELS, _LABELS.astype(str)):
            file = io.BytesIO()
            save(file, embeddings=_VECTORS, labels=labels)
            found.append(file.getvalue())
    return found


def _safetensors_files() -> list[bytes]:
    from safetensors.numpy import save

    from dmlbench.retrieval.kept_embeddings import KeptSplit, as_arrays

    names = [f"a/{number}" for number in range(8)]
    kept = {"test": KeptSplit(_VECTORS, _LABELS, names)}
    both = {"query": kept["test"], "gallery": kept["test"]}
    return [
        save({"embeddings": _VECTORS, "labels": _LABELS}),
        save(as_arrays(kept)),
        save(as_arrays(both)),
    ]


def _parquet_files() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    for compression, kind in (
        ("none", pa.list_(pa.float32(), 3)),
        ("snappy", pa.list_(pa.float32())),
    ):
        for labels in (_LABELS, _LABELS.astype(str)):
            file = io.BytesIO()
            table = pa.table({"embeddings": pa.array(_VECTORS.tolist(), kind), "labels": labels})
            pq.write_table(table, file, compression=compression)
            found.append(file.getvalue())
    return found


_HEADERS = (
    *_BINARY,
    *b"'descr' 'shape' ( ) , 'O' '<f8' '|S9999999' -60 True [ ] { } '''".split(),
    b"9223372036854775808",
    *b'"shape" "dtype" "data_offsets" "F32" "BF16" "I64"'.split(),
    *b"embeddings labels .npy PAR1".split(),
)

TARGETS = {
    target.name: target
    for target in (
        Target(
            "protocol",
            lambda content: read_protocol_file(_file("mine.toml", content)),
            _protocols,
            _TOML,
        ),
        Target("suite", lambda content: load_suite(_file("suite.toml", content)), _suites, _TOML),
        Target(
            "setting",
            _setting,
            lambda: [b"0.3", b"7", b"none", b"true", b"[1, 2]", b'{"a": [1.5]}', b"9" * 400],
            _JSON,
        ),
        Target("command line", _command, _commands, (*_JSON, b"\n", b"=", b"+", b"*", b"--")),
        Target("record", _record, _records, _JSON),
        Target("record, audited", _audit, _reproducible, _JSON),
        Target("idx", _idx, _idx_files, (*_BINARY, _idx_of(64), _idx_of(65))),
        Target("label lines", _lines, _label_files, (*_BINARY, b"../", b"/", b"-1", b"\x1c")),
        Target("matlab labels", _matlab, _matlab_files, _BINARY),
        Target("npy", partial(_scored, ".npy"), _npy_files, _HEADERS),
        Target("npz", partial(_scored, ".npz"), _npz_files, _HEADERS),
        Target("safetensors", partial(_scored, ".safetensors"), _safetensors_files, _HEADERS),
        Target("parquet", partial(_scored, ".parquet"), _parquet_files, _HEADERS),
    )
}
