"""``dmlbench score``: the same figures from every kind of file."""

import io
import json
import os
import zipfile

import numpy as np
import pytest

from dmlbench import retrieval


@pytest.fixture
def items():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 5)
    embeddings = rng.normal(size=(6, 8))[labels] + rng.normal(size=(30, 8))
    return embeddings.astype(np.float32), labels


def written(kind, embeddings, labels, folder):
    path = folder / f"items.{kind}"
    if kind == "npz":
        np.savez(path, embeddings=embeddings, labels=labels)
    elif kind == "safetensors":
        from safetensors.numpy import save_file

        save_file({"embeddings": embeddings, "labels": labels}, path)
    elif kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {"embeddings": list(embeddings), "labels": [f"class {n}" for n in labels]}
        pq.write_table(pa.table(columns), path)
    else:
        np.save(path, embeddings)
        np.save(folder / "labels.npy", labels)
        return path, "--labels", folder / "labels.npy"
    return (path,)


@pytest.mark.parametrize("kind", ["npz", "npy", "safetensors", "parquet"])
def test_every_kind_of_file_gives_the_figures_of_evaluate(dmlbench, tmp_path, items, kind):
    arguments = written(kind, *items, tmp_path)
    result = dmlbench("score", *arguments, "--json", "--map", "--precision-at", 3)
    assert result.code == 0, result.err
    figures = json.loads(result.out)
    expected = retrieval.evaluate(
        *items, recall_at=(1, 10, 100, 1000), precision_at=(3,), mean_average_precision=True
    )
    assert figures["recall@10"] == expected.recall_at[10]
    assert figures["precision@3"] == expected.precision_at[3]
    assert figures["r_precision"] == expected.r_precision
    assert figures["map_at_r"] == expected.map_at_r
    assert figures["mean_average_precision"] == expected.mean_average_precision
    assert figures["queries"] == 30


def test_queries_search_a_gallery(dmlbench, tmp_path, items):
    embeddings, labels = items
    (queries,) = written("npz", embeddings[::2], labels[::2], tmp_path)
    (gallery,) = written("parquet", embeddings[1::2], labels[1::2], tmp_path)
    names = tmp_path / "names.npz"
    np.savez(names, embeddings=embeddings[::2], labels=[f"class {n}" for n in labels[::2]])
    result = dmlbench("score", names, "--gallery", gallery, "--json", "--recall-at", "1")
    assert result.code == 0, result.err
    expected = retrieval.evaluate(
        embeddings[::2], labels[::2], embeddings[1::2], labels[1::2], recall_at=(1,)
    )
    assert json.loads(result.out)["recall@1"] == expected.recall_at[1]
    assert queries.exists()


def test_the_table_is_in_percent_and_a_collapse_is_told(dmlbench, tmp_path, items):
    embeddings, labels = items
    (path,) = written("npz", np.ones_like(embeddings), labels, tmp_path)
    result = dmlbench("score", path)
    assert result.code == 0
    assert "recall@1" in result.out
    assert "0.00 %" in result.out
    assert "collapsed" in result.err


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.npz", None, "absent.npz"),
        ("items.txt", b"1 2 3", ".npz"),
        ("items.npz", b"no archive", "items.npz"),
        ("items.npy", b"", "items.npy"),
        ("items.safetensors", b"\xff" * 20, "items.safetensors"),
        ("items.parquet", b"PAR1", "items.parquet"),
    ],
)
def test_files_that_can_not_be_read(dmlbench, tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = dmlbench("score", name)
    assert result.code == 2
    assert words in result.err
    assert "Traceback" not in result.err


def test_wrong_content_is_told(dmlbench, tmp_path, items):
    embeddings, labels = items
    np.savez(tmp_path / "misspelt.npz", embedings=embeddings, labels=labels)
    assert "embedings" in dmlbench("score", "misspelt.npz").err
    np.savez(tmp_path / "short.npz", embeddings=embeddings, labels=labels[:-1])
    assert dmlbench("score", "short.npz").code == 2
    np.savez(tmp_path / "nan.npz", embeddings=embeddings * np.nan, labels=labels)
    assert "row 0" in dmlbench("score", "nan.npz").err
    np.savez(tmp_path / "objects.npz", embeddings=np.array([{}, {}]), labels=labels[:2])
    assert dmlbench("score", "objects.npz").code == 2
    np.save(tmp_path / "bare.npy", embeddings)
    assert "--labels" in dmlbench("score", "bare.npy").err
    np.savez(tmp_path / "good.npz", embeddings=embeddings, labels=labels)
    assert "'cosine'" in dmlbench("score", "good.npz", "--distance", "cosin").err
    assert dmlbench("score", "good.npz", "--recall-at", "one").code == 2
    assert dmlbench("score", "good.npz", "--recall-at", "0").code == 2


@pytest.mark.parametrize("device", ["foo", "cuda:99", "meta", ""])
def test_a_device_that_is_not_there_is_said(dmlbench, tmp_path, items, device):
    embeddings, labels = items
    np.savez(tmp_path / "good.npz", embeddings=embeddings, labels=labels)
    result = dmlbench("score", "good.npz", "--device", device)
    assert result.code == 2
    assert f"no device '{device}' on this machine" in result.err


def refused(dmlbench, *arguments) -> str:
    result = dmlbench("score", *arguments)
    assert result.code == 2, result
    assert "Traceback" not in result.err
    return result.err


@pytest.mark.parametrize("kind", ["npz", "npy", "safetensors", "parquet"])
def test_a_pipe_is_refused_before_anybody_waits_for_it(dmlbench, tmp_path, items, kind):
    os.mkfifo(tmp_path / f"pipe.{kind}")
    np.save(tmp_path / "labels.npy", items[1])
    assert "regular file" in refused(dmlbench, f"pipe.{kind}", "--labels", "labels.npy")
    np.save(tmp_path / "items.npy", items[0])
    assert "regular file" in refused(dmlbench, "items.npy", "--labels", f"pipe.{kind}")


def test_an_array_that_claims_petabytes_is_refused(dmlbench, tmp_path):
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**13, 128)}
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, header)
    with zipfile.ZipFile(tmp_path / "vast.npz", "w") as archive:
        archive.writestr("embeddings.npy", content.getvalue())
    assert "vast.npz does not fit into memory" in refused(dmlbench, "vast.npz")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.int64(1), "shape is []"),
        (np.zeros((30, 1), "U1"), "shape is [30, 1]"),
        (np.zeros(29, int), "shape is [29]"),
        (np.where(np.arange(30) == 7, np.nan, 1.0), "first in row 7"),
        (np.array(["2026-01-01", "NaT"] * 15, "M8[D]"), "first in row 1"),
    ],
)
def test_labels_that_are_not_one_for_each_item_are_refused(
    dmlbench, tmp_path, items, labels, words
):
    np.savez(tmp_path / "wrong.npz", embeddings=items[0], labels=labels)
    np.savez(tmp_path / "good.npz", embeddings=items[0], labels=items[1].astype(str))
    for arguments in (("wrong.npz",), ("good.npz", "--gallery", "wrong.npz")):
        told = refused(dmlbench, *arguments)
        assert "wrong.npz: labels" in told
        assert words in told


def test_members_of_an_archive_that_are_no_arrays_are_refused(dmlbench, tmp_path):
    with zipfile.ZipFile(tmp_path / "texts.npz", "w") as archive:
        archive.writestr("embeddings.npy", b"no array")
        archive.writestr("labels.npy", b"nor this")
    assert "texts.npz" in refused(dmlbench, "texts.npz")


def test_labels_that_can_not_be_compared_are_refused(dmlbench, tmp_path, items):
    np.savez(tmp_path / "numbers.npz", embeddings=items[0], labels=items[1])
    np.savez(tmp_path / "days.npz", embeddings=items[0], labels=items[1].astype("M8[D]"))
    assert "can't be compared" in refused(dmlbench, "numbers.npz", "--gallery", "days.npz")


@pytest.mark.parametrize(
    ("embeddings", "labels", "words"),
    [
        ([[1.0, 2.0], [3.0], [1.0, 2.0, 3.0]], [0, 0, 0], "differ in length"),  # 2 on average
        ([[1.0, 2.0], None, [1.0, 2.0]], [0, 0, 0], "differ in length"),
        ([[1.0], [2.0], [3.0]], [0, None, 0], "first in row 1"),
        ([[1.0], [2.0], [3.0]], ["a", "a", None], "first in row 2"),
        ([[1.0], [2.0], [3.0]], [None] * 3, "first in row 0"),
        ([[1.0], [2.0], [3.0]], [{"a": 1}] * 3, "can't be compared"),
        ([["a"], ["b"], ["c"]], [0, 0, 0], "real numbers"),
        ([1.0, 2.0, 3.0], [0, 0, 0], "shape [N, D]"),
    ],
)
def test_columns_of_the_wrong_type_are_refused(dmlbench, tmp_path, embeddings, labels, words):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"embeddings": embeddings, "labels": labels}), tmp_path / "x.parquet")
    assert words in refused(dmlbench, "x.parquet")


def test_lists_of_each_kind_and_none_at_all_are_read(dmlbench, tmp_path, items):
    import pyarrow as pa
    import pyarrow.parquet as pq

    values, labels = items[0].tolist(), items[1].tolist()
    found = set()
    for kind in (pa.list_(pa.float32()), pa.list_(pa.float32(), 8), pa.large_list(pa.float32())):
        table = pa.table({"embeddings": pa.array(values, kind), "labels": labels})
        pq.write_table(table, tmp_path / "x.parquet")
        found.add(dmlbench("score", "x.parquet", "--json").out)
        pq.write_table(table[:0], tmp_path / "none.parquet")
        assert "is empty" in refused(dmlbench, "none.parquet")
    assert len(found) == 1
    assert json.loads(found.pop())["queries"] == 30


@pytest.mark.parametrize("kind", [("BF16", 2), ("F8_E4M3", 1)])
def test_numbers_that_numpy_lacks_are_told(dmlbench, tmp_path, kind):
    name, size = kind
    end = 4 * size
    header = {
        "embeddings": {"dtype": name, "shape": [2, 2], "data_offsets": [0, end]},
        "labels": {"dtype": "I32", "shape": [2], "data_offsets": [end, end + 8]},
    }
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + bytes(end + 8)
    (tmp_path / "x.safetensors").write_bytes(content)
    assert "save them as float32" in refused(dmlbench, "x.safetensors")
