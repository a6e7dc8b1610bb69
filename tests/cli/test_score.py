"""``dmlbench score``: the same figures from every kind of file."""

import json

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
