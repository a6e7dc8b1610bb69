"""Statistics have the same bits whatever kernels, dispatch and threads add the numbers up."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.processors import environment, plainest, processors

from dmlbench.statistics.class_sampling import _drawn

SCRIPT = """
import numpy as np
from dmlbench.statistics import class_noise, compare, rank_over, two_way_half_width
rng = np.random.default_rng(7)
for rows, seeds, classes in ((2, 5, 50), (13, 5, 217)):
    counts = rng.integers(1, 60, classes)
    totals = rng.beta(2, 3, (rows, seeds, classes)) * counts
    noise = class_noise(totals, counts)
    found = compare(totals.sum(axis=2) / counts.sum(), noise.variances)
    print(noise.half_widths.tobytes().hex(), noise.variances.tobytes().hex())
    print(found, two_way_half_width(totals[0] - totals[1], counts))
    print(compare(rng.normal(0.5, 0.01, (rows, seeds))))
print(rank_over(rng.normal(size=(7, 12))))
"""


def printed(script: str, changed: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(changed),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def here() -> str:
    return printed(SCRIPT, plainest())


@pytest.mark.parametrize("name", processors())
def test_statistics_have_the_same_bits_on_every_processor(name: str, here: str):
    assert printed(SCRIPT, processors()[name]) == here


@given(st.integers(1, 300), st.integers(-280, 300), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_sums_over_draws_are_exact_in_any_order(classes: int, exponent: int, random):
    rng = np.random.default_rng(random.getrandbits(32))
    sums = rng.normal(size=(classes, 2)) * 10.0**exponent
    draws = rng.multinomial(max(classes - 1, 0), np.full(classes, 1 / classes), 20).astype(float)
    order = rng.permutation(classes)
    found = _drawn(draws, sums)
    assert (found == _drawn(draws[:, order], sums[order])).all()
    close = np.abs(sums).max() * classes**2 * 2.0**-52
    np.testing.assert_allclose(found, draws @ sums, rtol=0, atol=close)
