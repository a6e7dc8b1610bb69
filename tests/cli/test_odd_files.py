"""Files and values that would hang, fill the memory or end in a traceback: one paragraph."""

import os
import sys

import numpy as np
import pytest

RUN = ("run", "--dataset", "digits", "--loss", "triplet", "--jobs", "0")

PREPARE = ("data", "prepare", "cub", "--data-dir", "data", "--allow-unverified", "--from")


@pytest.fixture
def odd_files(tmp_path):
    (tmp_path / "data").mkdir()
    for ending in ("toml", "py", "tgz"):
        os.mkfifo(tmp_path / f"pipe.{ending}")
        (tmp_path / f"zero.{ending}").symlink_to("/dev/zero")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "deep.toml").write_text("x = " + "[" * 5000)
    (tmp_path / "dotted.toml").write_text("a." * 100_000 + "b = 1")
    (tmp_path / "long.toml").write_text("seeds = [" + "9" * 5000 + "]")
    (tmp_path / "wide.toml").write_text("\n".join(f"seed{number} = 1" for number in range(9999)))
    (tmp_path / "red.toml").write_text('"\\u001b[31mred" = 1')
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        *(
            (arguments, words)
            for name, words in {
                "pipe": ("a named pipe",),
                "zero": ("a device",),
                "folder": ("a folder",),
                "deep": ("64 deep",),
                "dotted": ("64 deep",),
                "long": ("4300 digits",),
                "red": ("\N{REPLACEMENT CHARACTER}[31mred",),
                "wide": (" more.", "seed1"),
            }.items()
            for arguments in (
                ("run", "--suite", f"{name}.toml"),
                (*RUN, "--protocol", f"{name}.toml"),
                ("show", "protocol", f"{name}.toml"),
            )
            if (name, arguments[0]) != ("wide", "run") or "--suite" in arguments
        ),
        ((*RUN, "--set", "loss.margin=" + "9" * 400), ("loss.margin", "64 bits")),
        ((*RUN, "--set", "loss.margin=" + "9" * 5000), ("loss.margin",)),
        ((*RUN, "--set", "loss.margin=" + "[" * 100_000), ("loss.margin", "float")),
        ((*RUN, "--set", "protocol.baselines.floors=" + "[" * 100_000), ("floors",)),
        ((*RUN, "--output", "out\0put"), ("NUL",)),
        ((*RUN, "--seeds", "9" * 5000), ("seeds",)),
        (("run", "--dataset", "iris", "--loss", "./pipe.py:Loss"), ("not a regular file",)),
        (("plugin", "check", "./pipe.py"), ("not a regular file",)),
        ((*PREPARE, "zero.tgz"), ("a device",)),
        ((*PREPARE, "pipe.tgz"), ("a named pipe",)),
        (("score", "pipe\0.npy"), ("NUL",)),
    ],
    ids=lambda value: " ".join(value)[:70].replace("\0", "NUL"),
)
def test_an_odd_request_is_one_paragraph(dmlbench, odd_files, arguments, words):
    before = sorted(odd_files.iterdir())
    result = dmlbench(*arguments)
    assert result.code == 2, result
    for word in words:
        assert word in result.err, result.err
    assert "Traceback" not in result.err
    assert "\x1b" not in result.err
    assert sorted(odd_files.iterdir()) == before


def test_an_output_with_a_nul_is_refused_from_python_too(tmp_path, monkeypatch):
    import dmlbench

    monkeypatch.chdir(tmp_path)
    with pytest.raises(dmlbench.ConfigError, match="Can't write to"):
        dmlbench.run("iris", baselines="pca", seeds=1, jobs=0, output="out\0", progress=False)


def npy(shape: str, more: str = "") -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}{more}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(96)


@pytest.mark.parametrize(
    "content",
    [
        npy(f"({1 << 63}, 3)"),
        npy("(-60, 3)"),
        npy("(8, 3)", more="'''"),
        npy("(" * 40),
        npy("(8, 3.5)"),
        npy(f"({1 << 40}, 3)"),
        npy("()"),
        b"\x93NUMPY\x09\x00",
        b"PK\x03\x04",
        b"",
    ],
)
@pytest.mark.parametrize("suffix", ["npy", "npz", "safetensors", "parquet"])
def test_damaged_embeddings_are_one_paragraph(dmlbench, tmp_path, content, suffix):
    np.save(tmp_path / "labels.npy", np.arange(8) // 2)
    path = tmp_path / f"x.{suffix}"
    if suffix == "npz" and content:
        from zipfile import ZipFile

        with ZipFile(path, "w") as archive:
            archive.writestr("embeddings.npy", content)
    else:
        path.write_bytes(content)
    result = dmlbench("score", path, "--labels", "labels.npy")
    assert result.code == 2
    assert "Traceback" not in result.err
    assert any(name in result.err for name in (f"x.{suffix}", "embeddings", "0 rows"))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_is_read_no_further_than_what_is_asked_of_it(dmlbench, tmp_path, save):
    vectors = np.random.default_rng(0).normal(size=(8, 3))
    save(tmp_path / "x.npz", embeddings=vectors, labels=np.arange(8) // 2, other=vectors + 1)
    expected = dmlbench("score", "x.npz", "--json")
    assert expected.code == 0, expected.err
    content = bytearray((tmp_path / "x.npz").read_bytes())
    at = content.index(b"other.npy") + 60
    content[at : at + 100] = bytes(100)
    (tmp_path / "x.npz").write_bytes(content)
    assert dmlbench("score", "x.npz", "--json").out == expected.out
    damaged = dmlbench("score", "x.npz", "--leave-out", "other")
    assert damaged.code == 2
    assert "x.npz is damaged" in damaged.err


def test_arrays_larger_than_the_memory_are_not_unpacked(dmlbench, tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors, labels = np.zeros((1000, 3)), np.arange(1000) // 2
    np.savez_compressed(tmp_path / "x.npz", embeddings=vectors, labels=labels)
    table = pa.table({"embeddings": vectors.tolist(), "labels": labels})
    pq.write_table(table, tmp_path / "x.parquet")
    embedding_files = sys.modules["dmlbench.retrieval.embedding_files"]
    monkeypatch.setattr(embedding_files, "_memory", lambda: 23_999)
    for name in ("x.npz", "x.parquet"):
        result = dmlbench("score", name)
        assert result.code == 2
        assert f"{name} does not fit into memory: 'embeddings' has up to 24," in result.err
