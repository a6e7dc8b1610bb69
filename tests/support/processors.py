"""Other processors' arithmetic: variables that make this one add as they do."""

import os

try:
    from numpy._core import _multiarray_umath as _numpy
except ImportError:  # NumPy 1
    from numpy.core import _multiarray_umath as _numpy

_HAS = {name for name, found in _numpy.__cpu_features__.items() if found}
_DISPATCHED = [name for name in _numpy.__cpu_dispatch__ if name in _HAS]
_PLAIN_LIBM = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA"}
"""Logarithms and powers without fused multiply-add; other libraries than glibc ignore it."""
_KERNELS = {"Nehalem": "SSE42", "Haswell": "AVX2", "Zen": "AVX2", "SkylakeX": "AVX512F"}
"""Of OpenBLAS, with what a processor needs to run them."""


def plainest() -> dict[str, str]:
    """Return the arithmetic furthest from this processor's own: no dispatch, one thread."""
    return _kernels("Nehalem") | _without(*_DISPATCHED) | _threads(1) | _PLAIN_LIBM


def processors() -> dict[str, dict[str, str]]:
    """Return environments by name: each set of kernels this processor can run, and dispatch cut."""
    kernels = {f"as {name}": _kernels(name) for name, needs in _KERNELS.items() if needs in _HAS}
    cut = {f"without {name}": _without(name) for name in _DISPATCHED}
    return {"as it is": {}, "2 threads": _threads(2), **kernels, **cut, "plainest": plainest()}


def environment(changed: dict[str, str]) -> dict[str, str]:
    """Return the environment of a process that runs with `changed` and nothing else of the kind."""
    names = ("OPENBLAS_CORETYPE", *_without(), *_threads(1), *_PLAIN_LIBM)
    return {key: value for key, value in os.environ.items() if key not in names} | changed


def _kernels(name: str) -> dict[str, str]:
    return {"OPENBLAS_CORETYPE": name} if _KERNELS[name] in _HAS else {}


def _without(*features: str) -> dict[str, str]:
    return {"NPY_DISABLE_CPU_FEATURES": " ".join(features)}


def _threads(count: int) -> dict[str, str]:
    return dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), str(count))
