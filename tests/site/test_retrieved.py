"""Galleries and maps: the nearest images by plain arithmetic, and honest reasons for none."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dmlbench.data.items import Data, Items
from dmlbench.errors import DataError
from dmlbench.retrieval import nearest_neighbours
from dmlbench.schemas.record import Array
from dmlbench.site.embedding_map import CLASSES, POINTS, neighbour_map, principal_map
from dmlbench.site.gallery import NEIGHBOURS, QUERIES, gallery
from dmlbench.site.kept_embeddings import Embedded, embedded


@pytest.fixture
def found(pictures, embeddings) -> Embedded:
    test = pictures.splits["test"]
    ranks = best_ranks(embeddings, test.labels)
    return Embedded(embeddings, test, embeddings, test, pictures.class_names, True, ranks)


def best_ranks(embeddings: np.ndarray, labels: np.ndarray, step: int = 1) -> np.ndarray:
    """Return the rank of each item's nearest of its class, 0 for none; `step` 2: among odd ones."""
    ranks = []
    for query, label in enumerate(labels):
        order = [item for item in by_distance(query, embeddings) if (item + 1) % step == 0]
        right = [rank for rank, item in enumerate(order, 1) if labels[item] == label]
        ranks.append(right[0] if right else 0)
    return np.array(ranks, np.int32)


def pixels(picture) -> np.ndarray:
    kind, _, text = picture.source.partition(";base64,")
    assert kind == "data:image/png"
    return np.array(Image.open(io.BytesIO(base64.b64decode(text))))


def by_distance(query: int, embeddings: np.ndarray) -> list[int]:
    """Return all other items, nearest first, by cosine."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    order = sorted(range(len(unit)), key=lambda item: -float(unit[query] @ unit[item]))
    return [item for item in order if item != query]


def test_a_gallery_shows_the_nearest_images_with_their_verdicts(found, pictures, embeddings):
    images, labels = pictures.splits["test"].inputs, pictures.splits["test"].labels
    shown = gallery(found)
    for each in shown:
        (query,) = (i for i in range(40) if (images[i, 0] == pixels(each.query)).all())
        nearest = by_distance(query, embeddings)[:NEIGHBOURS]
        for picture, item in zip(each.found, nearest, strict=True):
            assert (pixels(picture) == images[item, 0]).all()
            assert picture.right == (labels[item] == labels[query])
            assert picture.class_name == "abcdefghij"[labels[item]]
        assert each.query.class_name == "abcdefghij"[labels[query]]


def test_half_of_the_queries_are_right_and_half_wrong_where_there_are_enough(found, embeddings):
    labels = found.query_items.labels
    right = sum(labels[by_distance(q, embeddings)[0]] == labels[q] for q in range(39))
    shown = [each.found[0].right for each in gallery(found)]
    assert shown.count(True) == min(right, QUERIES // 2)
    assert shown.count(False) == min(39 - right, QUERIES // 2)
    assert shown.count(False) > 0


def test_only_the_queries_shown_search_for_neighbours(found, monkeypatch):
    searched = []

    def search(queries, *arguments, **options):
        searched.append(len(queries))
        return nearest_neighbours(queries, *arguments, **options)

    monkeypatch.setattr("dmlbench.site.gallery.nearest_neighbours", search)
    shown = gallery(found)
    assert searched == [len(shown)]


def test_a_query_whose_first_place_is_shared_with_another_class_is_among_the_wrong(found):
    """Metrics put the other class first, so the record has rank 2 and only the pictures a tie."""
    alike = replace(found, queries=np.ones((40, 5), np.float32))
    alike = replace(alike, gallery=alike.queries, best_rank=np.where(found.best_rank > 0, 27, 0))
    assert len(gallery(alike)) == QUERIES // 2


def test_a_query_without_anything_to_find_is_not_shown(found):
    assert "j" not in [each.query.class_name for each in gallery(found)]


def test_queries_search_their_gallery_where_there_is_one(pictures, embeddings):
    items = pictures.splits["test"]
    queries, others = np.arange(0, 39, 2), np.arange(1, 39, 2)
    ranks = best_ranks(embeddings, items.labels, step=2)[queries]
    apart = Embedded(
        *(embeddings[queries], items[queries], embeddings[others], items[others]),
        *(pictures.class_names, False, ranks),
    )
    assert len(gallery(apart)) == min((ranks == 1).sum(), 6) + min((ranks > 1).sum(), 6)
    for each in gallery(apart):
        (query,) = (i for i in queries if (items.inputs[i, 0] == pixels(each.query)).all())
        nearest = [item for item in by_distance(query, embeddings) if item % 2 == 1]
        assert (pixels(each.found[0]) == items.inputs[nearest[0], 0]).all()


def test_large_photos_are_shown_small_and_in_colour(found):
    photos = np.random.default_rng(0).integers(0, 256, (40, 3, 224, 160), dtype=np.uint8)
    items = Items(photos, found.query_items.labels)
    (first, *_) = gallery(replace(found, query_items=items, gallery_items=items))
    kind, _, text = first.query.source.partition(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    assert kind == "data:image/jpeg"
    assert image.mode == "RGB"
    assert max(image.size) <= 96


def test_vectors_have_a_map_and_no_gallery(found):
    vectors = Items(np.ones((40, 4), np.float32), found.query_items.labels)
    of_vectors = replace(found, query_items=vectors, gallery_items=vectors)
    assert gallery(of_vectors) == []
    assert len(principal_map(of_vectors)["points"]) == 40


@pytest.mark.parametrize("method", [principal_map, neighbour_map])
def test_a_map_has_each_item_with_its_class(method, found):
    made = method(found)
    assert made == method(found)
    assert made["classes"] == ["d", "f", "g", "j"]
    assert [point[2] for point in made["points"]] == [0] * 13 + [1] * 13 + [2] * 13 + [3]
    assert np.abs([point[:2] for point in made["points"]]).max() == pytest.approx(1, abs=1e-3)


def test_principal_components_keep_the_distances_of_embeddings_in_a_plane(found):
    angles = np.linspace(0, 6, 40)
    plane = np.stack([np.cos(angles), np.sin(angles)], 1) @ np.linalg.qr(np.eye(2, 5).T)[0].T
    made = principal_map(replace(found, queries=plane.astype(np.float32)))
    places = np.array([point[:2] for point in made["points"]])

    def apart(rows):
        return np.linalg.norm(rows[:, None] - rows[None], axis=2)

    ratio = apart(plane)[0, 1] / apart(places)[0, 1]
    assert apart(places) * ratio == pytest.approx(apart(plane), abs=0.02)
    assert "100 % of the variance" in made["method"]


def test_maps_of_many_items_are_thinned_and_of_many_classes_named_in_part():
    labels = np.arange(3000) % 50
    items = Items(np.zeros((3000, 1)), labels)
    rows = np.random.default_rng(0).normal(size=(3000, 6)).astype(np.float32)
    names = tuple(map(str, range(50)))
    made = principal_map(Embedded(rows, items, rows, items, names, True, np.ones(3000, int)))
    assert len(made["points"]) == POINTS
    assert made["of"] == 3000
    assert made["named"] == CLASSES


@pytest.mark.parametrize("method", [principal_map, neighbour_map])
def test_collapsed_embeddings_still_have_a_map(method, found):
    made = method(replace(found, queries=np.ones((40, 5), np.float32)))
    assert all(point[:2] == [0, 0] for point in made["points"])
    assert "all are alike" in made["method"]


def test_the_pages_show_what_was_kept(record, build, pictures, embeddings, found):
    ranks = {"best_rank": Array.pack(found.best_rank)}
    records = [record(seed=seed, per_query=ranks) for seed in range(3)]
    pages = build(
        records,
        embeddings=lambda trial: {"test": embeddings} if trial.seed == 1 else None,
        data=lambda trial: pictures,
    )
    kept = pages[f"trials/{records[1].trial.id}.html"]
    for page in (kept, pages["tables/glyphs-small.html"]):
        images = page.all("img")
        assert len(images) >= 9 * QUERIES // 2
        assert {image.attributes["alt"].split(",")[0] for image in images} == {
            "Query",
            "right",
            "wrong",
        }
        assert len(page.data("map-data")["points"]) == 40
    other = pages[f"trials/{records[0].trial.id}.html"]
    assert not other.all("img")
    assert "--keep-embeddings" in other.all("main")[0].text


@pytest.mark.parametrize(
    "per_query",
    [
        {},
        {"best_rank": Array.pack(np.ones(39, np.int32))},
        {"best_rank": Array.pack(np.zeros(40, np.int32))},
        {"best_rank": Array.pack(np.ones(40))},
    ],
)
def test_a_record_without_the_rank_of_each_query_is_told(record, pictures, embeddings, per_query):
    told = reason(record(per_query=per_query), {"test": embeddings}, pictures)
    assert "does not say how each of its 40 queries fared" in told


def reason(record, kept, data) -> str:
    found = embedded(record, lambda trial: kept, lambda trial: data)
    assert isinstance(found, str)
    return found


def test_what_is_missing_is_told(record, pictures, embeddings):
    one = record()
    assert "--keep-embeddings" in reason(one, None, pictures)
    assert "not at hand" in reason(one, {"test": embeddings}, None)
    other = replace(pictures, fingerprint="another")
    assert "its fingerprint is another" in reason(one, {"test": embeddings}, other)
    assert "shape (39, 5) for 40 items" in reason(one, {"test": embeddings[1:]}, pictures)
    assert "the split query is missing" in reason(one, {"query": embeddings}, pictures)
    broken = np.where(np.arange(40)[:, None] == 3, np.nan, embeddings)
    assert "not finite" in reason(one, {"test": broken}, pictures)


def test_a_damaged_file_of_embeddings_is_told_and_costs_nothing_else(record, build, pictures):
    def damaged(trial):
        raise DataError("runs/x.safetensors can't be read: header too small.")

    one = record()
    page = build([one], embeddings=damaged, data=lambda trial: pictures)
    assert "header too small" in page[f"trials/{one.trial.id}.html"].all("main")[0].text


def test_no_data_are_asked_for_without_embeddings(record, build):
    def data(trial) -> Data | None:
        raise AssertionError("nobody needs them")

    build([record()], data=data)
