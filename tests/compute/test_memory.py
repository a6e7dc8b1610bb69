"""Memory: what there is, and the most that was taken inside."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dmlbench.compute import memory
from dmlbench.compute.memory import installed_memory, peaks

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks into /proc")


def test_what_is_installed_is_what_the_kernel_says():
    lines = Path("/proc/meminfo").read_text().splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("MemTotal"))
    assert installed_memory() == pytest.approx(1024 * int(kib), rel=0.01)


def test_a_peak_is_that_of_its_own_time():
    with peaks(CPU) as large:
        taken = np.ones(200 << 17)  # 200 MiB
        del taken
    with peaks(CPU) as small:
        pass
    assert large["peak_memory_mib"] - small["peak_memory_mib"] > 150


def test_where_a_peak_can_not_be_reset_none_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_PROCESS", tmp_path / "none")
    with peaks(CPU) as most:
        pass
    assert most == {}
