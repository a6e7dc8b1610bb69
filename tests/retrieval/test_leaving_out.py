"""Distractors, and items that a query must not find, against plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.retrieval_engines import ENGINES, InnerProduct, forced_engine
from support.retrieval_loops import rank_by_loops, require_equal

from dmlbench import DataError, retrieval
from dmlbench.retrieval import Metric, SetMetric, evaluate


class AllRanks(Metric):
    """Asks for the rank of every positive."""

    title = "Sum of ranks"
    needs = frozenset({"relevant", "positive_ranks"})
    is_share = False

    def by_query(self, arrays):
        relevant = arrays["relevant"]
        return np.add.reduceat(arrays["positive_ranks"], np.cumsum(relevant) - relevant)


@st.composite
def problems(draw):
    """Draw points whose inner products are exact, with ties, and what each query must not find."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([1, 2, 8, 64]))
    items, total = draw(st.integers(1, 40)), draw(st.integers(1, 20))
    gallery = rng.integers(-levels, levels + 1, (items, draw(st.integers(1, 6)))) / 64
    gallery_labels, groups = rng.integers(0, 5, items), rng.integers(0, 4, items)
    own = rng.integers(-1, items, total)
    queries = np.where(own[:, None] < 0, gallery[:1], gallery[own])
    labels = np.where(own < 0, rng.integers(0, 6, total), gallery_labels[own])
    query_groups = rng.integers(0, 5, total)
    kind = draw(st.sampled_from(["groups", "mask"]))
    return {
        "own_set": draw(st.booleans()),
        "sets": (queries, labels, gallery, gallery_labels, own),
        "kind": kind,
        "groups": (query_groups, groups),
        "mask": rng.random((items, items)) < draw(st.sampled_from([0.0, 0.3, 1.0])),
        "tolerance": draw(st.sampled_from([0.0, 1e-6, 1 / 4096, 0.1])),
        "memory_budget": draw(st.sampled_from([2**16, 2**28])),
    }


@settings(max_examples=300, deadline=None)
@given(problem=problems())
def test_every_figure_without_what_is_left_out_is_that_of_plain_loops(problem):
    queries, labels, gallery, gallery_labels, own = problem["sets"]
    query_groups, groups = problem["groups"]
    if problem["own_set"]:
        queries, labels, own = gallery, gallery_labels, np.arange(len(gallery))
        query_groups = groups
    left_out = query_groups[:, None] == groups
    leave_out = groups if problem["own_set"] else (query_groups, groups)
    if problem["kind"] == "mask":
        rows = np.arange(len(queries)) % len(gallery)
        leave_out = left_out = problem["mask"][rows]
    expected = rank_by_loops(
        queries @ gallery.T, labels, gallery_labels, own, problem["tolerance"], left_out
    )
    sets = (gallery, gallery_labels) if not problem["own_set"] else ()
    arguments = {
        "self_index": None if problem["own_set"] else own,
        "leave_out": leave_out,
        "precision_at": (1, 3),
        "mean_average_precision": True,
        "metrics": {"ranks": AllRanks()},
        "distance": InnerProduct(),
        "tolerance": problem["tolerance"],
        "memory_budget": problem["memory_budget"],
    }
    if not any(query.relevant for query in expected):
        with pytest.raises(DataError, match="nothing to retrieve"):
            evaluate(queries, labels, *sets, **arguments)
        return
    found = evaluate(queries, labels, *sets, **arguments)
    require_equal(found.per_query, expected)
    scored = [query for query in expected if query.relevant]
    assert (found.queries, found.lone_queries) == (len(expected), len(expected) - len(scored))
    assert found.recall_at[1] == pytest.approx(np.mean([q.best_rank == 1 for q in scored]))
    assert found.metrics["ranks"] == pytest.approx(np.mean([sum(q.ranks) for q in scored]))


RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 12, 150)
GROUPS = RNG.integers(0, 5, 150)
POINTS = (RNG.normal(size=(12, 6))[LABELS] + RNG.normal(size=(150, 6))).astype(np.float32)


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "kullback-leibler"])
def test_an_item_that_no_query_may_find_is_as_good_as_absent(distance):
    points = np.abs(POINTS) + 0.1
    asked = {"distance": distance, "mean_average_precision": True, "precision_at": (3,)}
    sets = (points[:70], LABELS[:70], points[70:], LABELS[70:])
    mask = np.zeros((70, 80), bool)
    mask[:, 20:30] = True
    absent = [np.delete(some, np.arange(20, 30), axis=0) for some in sets[2:]]
    plain = evaluate(*sets[:2], *absent, **asked)
    found = evaluate(*sets, leave_out=mask, **asked)
    assert found.metrics == pytest.approx(plain.metrics, abs=3e-3)  # float32 there, float64 here


def test_queries_that_nothing_is_left_out_of_keep_their_figures():
    groups = np.where(np.arange(150) < 30, GROUPS, 10 + np.arange(150))
    plain, found = evaluate(POINTS, LABELS), evaluate(POINTS, LABELS, leave_out=groups)
    for name in ("best_rank", "hits", "average_precision", "ties", "relevant", "negatives"):
        before, after = getattr(plain.per_query, name), getattr(found.per_query, name)
        np.testing.assert_array_equal(after[30:], before[30:])
    assert found.per_query.negatives[:30].sum() < plain.per_query.negatives[:30].sum()


def test_groups_of_any_kind_and_a_mask_say_the_same():
    wanted = evaluate(POINTS, LABELS, leave_out=GROUPS)
    names = np.array(["a", "b", "c", "d", "e"])[GROUPS]
    mask = GROUPS[:, None] == GROUPS
    ways = (names, names.tolist(), torch.tensor(GROUPS), GROUPS.tolist(), mask, torch.tensor(mask))
    for way in ways:
        assert evaluate(POINTS, LABELS, leave_out=way).metrics == wanted.metrics
    pair = evaluate(POINTS, LABELS, POINTS, LABELS, leave_out=(names, names))
    assert pair.metrics == wanted.metrics


def test_person_and_camera_together_make_the_protocol_of_market_1501():
    """Its evaluation drops images of the query's person by the query's camera, and no others."""
    queries, gallery = slice(0, 50), slice(50, 150)
    unit = POINTS / np.linalg.norm(POINTS.astype(float), axis=1, keepdims=True)
    first, precision = [], []
    for query in range(50):
        order = np.argsort(-(unit[gallery] @ unit[query])) + 50
        junk = (LABELS[order] == LABELS[query]) & (GROUPS[order] == GROUPS[query])
        matches = (LABELS[order] == LABELS[query])[~junk]
        if matches.any():
            first.append(matches[0])
            places = np.flatnonzero(matches) + 1
            precision.append(np.mean(np.arange(1, len(places) + 1) / places))
    both = np.array([f"{person} {camera}" for person, camera in zip(LABELS, GROUPS, strict=True)])
    found = evaluate(
        *(POINTS[queries], LABELS[queries], POINTS[gallery], LABELS[gallery]),
        leave_out=(both[queries], both[gallery]),
        recall_at=(1,),
        mean_average_precision=True,
    )
    assert found.recall_at[1] == pytest.approx(np.mean(first))
    assert found.mean_average_precision == pytest.approx(np.mean(precision))


@pytest.mark.parametrize(
    ("gallery", "leave_out", "words"),
    [
        (False, GROUPS[:-1], "groups in leave_out must have one entry for each of the 150"),
        (False, GROUPS / 2, "groups in leave_out"),
        (False, np.zeros((150, 149), bool), r"shape \[150, 150\]"),
        (False, np.zeros((150, 150), int), "must be boolean"),
        (True, GROUPS, "must be a pair"),
        (True, (GROUPS,), "must be a pair"),
        (True, (GROUPS, GROUPS[1:]), "groups of the gallery"),
        (True, (GROUPS, GROUPS.astype(str)), "can't be compared"),
        (True, np.zeros((2, 150), int), "must be boolean"),
    ],
)
def test_what_is_neither_groups_nor_a_mask_is_refused(gallery, leave_out, words):
    sets = (POINTS, LABELS) if gallery else ()
    with pytest.raises(DataError, match=words):
        evaluate(POINTS, LABELS, *sets, leave_out=leave_out)


def test_queries_without_anything_left_are_lone_and_all_of_them_an_error():
    with pytest.raises(DataError, match="not left out: there is nothing to retrieve"):
        evaluate(POINTS, LABELS, leave_out=LABELS)
    mask = np.zeros((150, 150), bool)
    mask[:30] = True
    assert evaluate(POINTS, LABELS, leave_out=mask).lone_queries == 30


def test_collapsed_embeddings_score_zero_whatever_is_left_out():
    found = evaluate(np.ones((150, 3)), LABELS, leave_out=GROUPS)
    assert (found.recall_at[1], found.map_at_r, found.tied) == (0, 0, 1)


def test_near_items_are_told_apart_in_a_narrow_cone():
    rng = np.random.default_rng(0)
    offsets = 1e-6 * (rng.normal(size=(12, 6))[LABELS] + rng.normal(size=(150, 6)))
    cone = np.hstack([np.ones((150, 1)), offsets])
    squared = ((offsets[:, None] - offsets) ** 2).sum(axis=2)
    expected = rank_by_loops(-squared, LABELS, LABELS, np.arange(150), 0, GROUPS[:, None] == GROUPS)
    found = evaluate(cone, LABELS, leave_out=GROUPS, tolerance=0)
    require_equal(found.per_query, expected)


class WholeSet(SetMetric):
    """How many items and classes it is given."""

    title = "Items"
    is_share = False

    def of_set(self, embeddings, labels):
        assert len(embeddings) == len(labels)
        return float(len(labels) + 1000 * len(np.unique(labels)))


@pytest.mark.parametrize("engine", [*ENGINES, "leaving out"])
@pytest.mark.parametrize("gallery", [False, True])
@pytest.mark.parametrize("names", [False, True])
def test_distractors_are_found_but_never_looked_for(engine, gallery, names):
    labels = np.where(LABELS < 3, -LABELS, LABELS)  # 0, -1 and -2 are distractors
    query, item = (slice(0, 60), slice(60, 150)) if gallery else (slice(None), slice(None))
    unique = np.where(labels <= 0, 100 + np.arange(150), labels)  # never of the class of another
    points = RNG.integers(-64, 65, (150, 6)) / 64  # their inner products are exact
    own = np.full(60, -1) if gallery else np.arange(150)
    mask = RNG.random((len(own), len(labels[item]))) < 0.3 if engine == "leaving out" else None
    similarity = points[query] @ points[item].T
    expected = rank_by_loops(similarity, unique[query], unique[item], own, 1e-6, mask)
    given, ignored = (labels.astype(str), ["0", "-1", "-2"]) if names else (labels, (0, -1, -2))
    sets = (points[query], given[query], *((points[item], given[item]) if gallery else ()))
    with forced_engine(engine, edge=24, columns=16):
        found = evaluate(
            *sets,
            ignore_labels=ignored,
            leave_out=mask,
            distance=InnerProduct(),
            recall_at=(1,),
            metrics={"items": WholeSet()},
        )
    require_equal(found.per_query, expected)
    scored = [one for one in expected if one.relevant]
    assert found.recall_at[1] == pytest.approx(np.mean([one.best_rank == 1 for one in scored]))
    assert found.queries == (labels[query] > 0).sum()
    assert found.lone_queries == found.queries - len(scored)
    assert found.distractors == (labels[item] <= 0).sum()
    assert found.metrics["items"] == 9000 + (labels > 0).sum()


def test_no_distractor_is_taken_for_a_class_that_only_queries_have():
    queries, labels = POINTS[:5], np.array([1, 1, 50, 51, 52])
    gallery_labels = np.where(np.arange(145) < 100, -1, 1)
    found = evaluate(queries, labels, POINTS[5:], gallery_labels, ignore_labels=[-1])
    assert found.per_query.relevant.tolist() == [45, 45, 0, 0, 0]
    assert (found.lone_queries, found.distractors) == (3, 100)


def test_labels_to_ignore_are_of_the_kind_of_the_labels():
    with pytest.raises(DataError, match="ignore_labels are texts"):
        evaluate(POINTS, LABELS, ignore_labels=["junk"])
    with pytest.raises(DataError, match="nothing to retrieve"):
        evaluate(POINTS, LABELS, ignore_labels=range(12))
    plain = evaluate(POINTS, LABELS)
    assert evaluate(POINTS, LABELS, ignore_labels=[-1]).metrics == plain.metrics
    assert retrieval.evaluate(POINTS, LABELS, ignore_labels=()).distractors == 0
