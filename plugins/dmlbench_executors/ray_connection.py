"""To Ray and back: a cluster that runs already, or one that is started here for the run.

From 2.60, a cluster that a program starts asks for a token, and Ray writes one to
``~/.ray/auth_token`` for that. Here it gets a token of this process instead, by the environment, so
that the cluster is closed to others and nothing is written to the home folder. Whoever has a token
(``RAY_AUTH_TOKEN``, ``RAY_AUTH_TOKEN_PATH``, or that file), or wants none
(``RAY_AUTH_MODE=disabled``), gets what they chose.
"""

import logging
import os
import random
import resource
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dmlbench import ConfigError

_SECONDS = 10.0
"""How long a cluster may take to answer."""
_STORE_BYTES = 80 * 2**20
"""Of shared memory: what Ray needs at least. No images go that way, only events."""
_SYSTEM = {"worker_niceness": 0}
"""Ray would have its workers stand back (nice 15) behind all else on the machine."""
_WAY_OUT = (
    "ray status, on a node of the cluster, shows whether it is up. Without executor.address and "
    "the variable RAY_ADDRESS, Ray is started on this machine."
)
_TOKEN_FILE = Path(".ray", "auth_token")


def check_installed() -> None:
    """Check that Ray is there, without importing it.

    Raises:
        ConfigError: it is not.
    """
    if find_spec("ray") is None:
        raise ConfigError('The executor ray needs Ray: pip install "dmlbench[ray]"')


def place(address: str | None) -> str:
    """Return the address of the cluster: as given, that of ``RAY_ADDRESS``, or ``local``."""
    return address or os.environ.get("RAY_ADDRESS") or "local"


@contextmanager
def connected(address: str | None) -> Iterator[bool]:
    """Be connected to Ray inside, and yield whether nodes may join; then leave all as it was.

    A program that has called ``ray.init`` stays connected as it is.

    Args:
        address: see `place`.

    Raises:
        ConfigError: nothing answers there.
    """
    environment, files = dict(os.environ), resource.getrlimit(resource.RLIMIT_NOFILE)
    numbers = random.getstate()
    try:
        import ray

        if ray.is_initialized():
            yield True
            return
        _connect(place(address))
        try:
            yield place(address) != "local"
        finally:
            ray.shutdown()
    finally:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        random.setstate(numbers)
        resource.setrlimit(resource.RLIMIT_NOFILE, files)


def _connect(where: str) -> None:
    import ray

    options: dict[str, Any] = {"logging_level": logging.ERROR}
    if where == "local":
        options |= {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
        options |= {"_system_config": _SYSTEM}
        if not _is_token_chosen():
            os.environ["RAY_AUTH_TOKEN"] = _token()
    elif where != "auto":
        _check_answers(where)
    on_terminate = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(where, **options)
    except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        reason = first_line(error).rstrip(".")
        if where == "local":
            raise ConfigError(f"Ray can't be started on this machine: {reason}.") from error
        raise ConfigError(f"Ray can't be reached at {where}: {reason}. {_WAY_OUT}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_terminate)  # Ray's would end the run at once


def _check_answers(address: str) -> None:
    """Check that something answers at `address`: Ray itself would try for long.

    Raises:
        ConfigError: it is no address, or nothing answers.
    """
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise ConfigError(
            f"executor.address={address}: it is auto (a cluster that has a node on this machine) "
            "or an address such as 10.0.0.1:6379. Ray's client (ray://) does not do: start the "
            "run on a node of the cluster, for example by ray job submit."
        )
    try:
        socket.create_connection((host, int(port)), _SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"executor.address={address}: nothing answers there within {_SECONDS:.0f} seconds "
            f"({error}). {_WAY_OUT}"
        ) from error


def _is_token_chosen() -> bool:
    """Return whether the user has a token for the cluster, or wants none."""
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return True
    given = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    return given or (Path.home() / _TOKEN_FILE).exists()


@cache
def _token() -> str:
    """Return the token of all clusters that this process starts: Ray reads it once."""
    return secrets.token_hex(32)


def first_line(error: BaseException) -> str:
    """Return what an error of Ray's says in short; whole ones fill a screen."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
