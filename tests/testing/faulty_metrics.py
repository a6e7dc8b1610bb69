"""Metrics with one fault each."""

import random

import numpy as np
from testing.faults import Faults

from dmlbench import Metric, SetMetric

FAULTS = Faults("metric")
found_by = FAULTS.found_by


class WithinThree(Metric):
    """A metric without a fault: whether one of the first three items is right."""

    title = "Within three"
    needs = frozenset({"best_rank"})

    def by_query(self, arrays):
        return arrays["best_rank"] <= 3


class MeanNorm(SetMetric):
    """A metric of the whole set without a fault."""

    title = "Mean norm"
    is_share = False

    def of_set(self, embeddings, labels):
        return float(np.linalg.norm(embeddings, axis=1).mean())


SOUND = [WithinThree, MeanNorm]
ALL = (
    "it_is_a_finite_number",
    "the_order_of_the_items_does_not_matter",
    "the_same_items_have_the_same_value",
    "it_leaves_the_arrays_alone",
)


@found_by("it_says_what_it_needs")
class Untitled(WithinThree):
    """Has no name for tables."""

    title = " "


@found_by("it_says_what_it_needs", *ALL)
class Needy(WithinThree):
    """Needs what no ranking gives."""

    needs = frozenset({"best_rank", "horoscope"})


@found_by("it_is_a_finite_number", *ALL)
class Infinite(WithinThree):
    """Divides by the negatives that come before the best positive."""

    def by_query(self, arrays):
        with np.errstate(divide="ignore"):
            return 1 / (arrays["best_rank"] - 1)


@found_by("it_is_a_finite_number")
class NotAShare(WithinThree):
    """Says that it is a share, and is a rank."""

    def by_query(self, arrays):
        return arrays["best_rank"]


@found_by("it_is_a_finite_number")
class NotANumber(MeanNorm):
    """Is NaN where all embeddings are one."""

    def of_set(self, embeddings, labels):
        spread = float(embeddings.std(0).sum())
        return spread / spread if spread else float("nan")


@found_by("it_is_a_finite_number", *ALL)
class ForAllAtOnce(WithinThree):
    """Returns the mean in place of values by query."""

    def by_query(self, arrays):
        return np.mean(arrays["best_rank"] <= 3)


@found_by("the_order_of_the_items_does_not_matter")
class FirstCounts(WithinThree):
    """Gives the first queries more weight."""

    def by_query(self, arrays):
        return super().by_query(arrays) / (1 + np.arange(len(arrays["best_rank"])))


@found_by("the_same_items_have_the_same_value", "the_order_of_the_items_does_not_matter")
class Drawn(WithinThree):
    """Breaks ties by chance, without a seed."""

    def by_query(self, arrays):
        generator = random.SystemRandom()
        return np.array([generator.random() for _ in arrays["best_rank"]])


@found_by("it_leaves_the_arrays_alone")
class Sorting(WithinThree):
    """Sorts the ranks that other metrics read after it."""

    def by_query(self, arrays):
        arrays["best_rank"].sort()
        return super().by_query(arrays)


@found_by("it_leaves_the_arrays_alone", "the_same_items_have_the_same_value")
class Centring(MeanNorm):
    """Centres the embeddings in place."""

    def of_set(self, embeddings, labels):
        value = super().of_set(embeddings.copy(), labels)
        embeddings -= embeddings.mean(0)
        return value
