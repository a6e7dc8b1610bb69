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
        (np.array(["2026-01-01", "NaT"] * 15, "M8[D]"), "integers or texts, not datetime64"),
        (np.arange(30) + 2.0**60, "may have been rounded"),
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
    np.savez(tmp_path / "texts.npz", embeddings=items[0], labels=items[1].astype(str))
    assert "can't be compared" in refused(dmlbench, "numbers.npz", "--gallery", "texts.npz")


@pytest.mark.parametrize(
    ("embeddings", "labels", "words"),
    [
        ([[1.0, 2.0], [3.0], [1.0, 2.0, 3.0]], [0, 0, 0], "differ in length"),  # 2 on average
        ([[1.0, 2.0], None, [1.0, 2.0]], [0, 0, 0], "differ in length"),
        ([[1.0], [2.0], [3.0]], [0, None, 0], "first in row 1"),
        ([[1.0], [2.0], [3.0]], ["a", "a", None], "first in row 2"),
        ([[1.0], [2.0], [3.0]], [None] * 3, "first in row 0"),
        ([[1.0], [2.0], [3.0]], [{"a": 1}] * 3, "not dict, first in row 0"),
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


def scored(dmlbench, *arguments) -> tuple[dict, str]:
    """Return the figures and what was said beside them."""
    result = dmlbench("score", *arguments, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out), result.err


def test_one_set_as_queries_and_gallery_is_said_and_scored_as_one(dmlbench, tmp_path, items):
    (path,) = written("npz", *items, tmp_path)
    (other,) = written("safetensors", *items, tmp_path)
    alone, said = scored(dmlbench, path)
    assert said == ""
    for gallery in (path, other):
        again, said = scored(dmlbench, path, "--gallery", gallery)
        assert again == alone
        assert "is the queries again: each item searches all others" in said


def test_queries_that_are_in_the_gallery_are_counted_and_can_be_left_out(dmlbench, tmp_path, items):
    embeddings, labels = items
    names = np.array([f"photo {n}" for n in range(30)])
    for name, some in (("queries", slice(12)), ("gallery", slice(7, 30))):
        np.savez(
            tmp_path / f"{name}.npz",
            embeddings=embeddings[some],
            labels=labels[some],
            photo=names[some],
        )
    _, said = scored(dmlbench, "queries.npz", "--gallery", "gallery.npz")
    assert "5 of 12 queries are in the gallery too" in said
    assert "--leave-out" in said
    figures, said = scored(
        dmlbench, "queries.npz", "--gallery", "gallery.npz", "--leave-out", "photo"
    )
    assert said == ""
    expected = retrieval.evaluate(
        *(embeddings[:12], labels[:12], embeddings[7:], labels[7:]),
        self_index=np.where(np.arange(12) < 7, -1, np.arange(12) - 7),
    )
    assert figures["map_at_r"] == pytest.approx(expected.map_at_r)
    assert "no 'photos'" in refused(dmlbench, "queries.npz", "--leave-out", "photos")


def test_distractors_are_named_by_their_labels(dmlbench, tmp_path, items):
    embeddings, labels = items
    expected = retrieval.evaluate(embeddings, labels - 1, ignore_labels=[-1, 3])
    np.savez(tmp_path / "numbers.npz", embeddings=embeddings, labels=labels - 1)
    np.savez(tmp_path / "texts.npz", embeddings=embeddings, labels=(labels - 1).astype(str))
    for file in ("numbers.npz", "texts.npz"):
        figures, _ = scored(dmlbench, file, "--ignore-labels", "-1,3")
        assert figures["map_at_r"] == expected.map_at_r
        assert (figures["queries"], figures["distractors"]) == (20, 10)
    assert "are not: junk" in refused(dmlbench, "numbers.npz", "--ignore-labels", "junk")


def test_the_mahalanobis_distance_takes_its_covariance_from_a_file(dmlbench, tmp_path, items):
    embeddings, labels = items
    scale = np.geomspace(1, 1000, 8)
    train = np.random.default_rng(1).normal(size=(50, 8)) * scale
    np.save(tmp_path / "train.npy", train)
    np.savez(tmp_path / "test.npz", embeddings=embeddings * scale, labels=labels)
    figures, _ = scored(
        dmlbench, "test.npz", "--distance", "mahalanobis", "--covariance-from", "train.npy"
    )
    distance = retrieval.Mahalanobis.of(train)
    expected = retrieval.evaluate(embeddings * scale, labels, distance=distance)
    assert figures["map_at_r"] == expected.map_at_r
    assert "--covariance-from" in refused(dmlbench, "test.npz", "--distance", "mahalanobis")
    assert "'cosine'" in refused(dmlbench, "test.npz", "--covariance-from", "train.npy")
    np.save(tmp_path / "one.npy", train[:1])
    asked = ("test.npz", "--distance", "mahalanobis", "--covariance-from")
    assert "needs two" in refused(dmlbench, *asked, "one.npy")
    np.save(tmp_path / "nan.npy", train * np.nan)
    assert "nan.npy has NaN" in refused(dmlbench, *asked, "nan.npy")


def test_what_a_run_kept_is_scored_as_its_record_says(dmlbench, tiny, tmp_path):
    request = ("run", "--dataset", "digits-closed", "--baseline", "pixels", "--protocol", tiny)
    assert dmlbench(*request, "--jobs", 0, "--seeds", 1, "--keep-embeddings").code == 0
    (kept,) = tmp_path.rglob("*.safetensors")
    record = json.loads(kept.with_suffix(".json").read_text())
    figures, said = scored(dmlbench, kept)
    assert said == ""
    for name, value in record["metrics"].items():
        if name in figures:
            assert figures[name] == pytest.approx(value, abs=1e-12), name
    assert figures["queries"] == record["details"]["test_items"]
    apart, _ = scored(dmlbench, kept, "--leave-out", "names")  # no two are alike
    assert apart["map_at_r"] == pytest.approx(figures["map_at_r"], abs=1e-4)


def test_queries_and_gallery_that_a_run_kept_are_scored_as_such(dmlbench, tmp_path, items):
    from safetensors.numpy import save_file

    from dmlbench.retrieval.kept_embeddings import KeptSplit, as_arrays

    embeddings, labels = items
    splits = {
        "query": KeptSplit(embeddings[::2], labels[::2], [f"q/{n} ü" for n in range(15)]),
        "gallery": KeptSplit(embeddings[1::2], labels[1::2], [f"g/{n}" for n in range(15)]),
    }
    save_file(as_arrays(splits), tmp_path / "kept.safetensors")
    expected = retrieval.evaluate(embeddings[::2], labels[::2], embeddings[1::2], labels[1::2])
    assert scored(dmlbench, "kept.safetensors")[0]["map_at_r"] == expected.map_at_r
    np.savez(tmp_path / "all.npz", embeddings=embeddings, labels=labels)
    assert "15 of 15 queries" in scored(dmlbench, "kept.safetensors", "--gallery", "all.npz")[1]
    names = ("kept.safetensors", "--leave-out", "names")
    assert scored(dmlbench, *names)[0]["map_at_r"] == pytest.approx(expected.map_at_r)


def test_embeddings_that_were_kept_without_labels_are_refused(dmlbench, tmp_path, items):
    from safetensors.numpy import save_file

    save_file({"test": items[0]}, tmp_path / "old.safetensors")
    assert "--keep-embeddings, makes it again" in refused(dmlbench, "old.safetensors")
