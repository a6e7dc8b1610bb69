"""Who made a file: a name for a process that no other process, on any machine, ever has."""

import os
import platform
import re
import secrets
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

_NAME = re.compile(r"([0-9a-f]{8})-([0-9]{1,10})-([0-9]{1,20})-([0-9a-f]{8})-([A-Za-z0-9_.]*)")
_HOST_CHARACTERS = 32


@dataclass(frozen=True)
class Owner:
    """A process, as the name of a file tells it; ``str`` gives that name.

    Attributes:
        machine: hash of what counts processes from 1: a boot of a machine, and a container in it.
        pid: process id.
        started: when the process started, in ticks since the boot; 0 where nothing says.
        token: tells the files of one process apart.
        host: for people. Two machines may have one name, so it decides nothing.
    """

    machine: str
    pid: int
    started: int
    token: str
    host: str

    @classmethod
    def new(cls) -> "Owner":
        """Return a name that this process has not used yet."""
        pid = os.getpid()
        host = re.sub(r"[^A-Za-z0-9_.]", "_", platform.node())[:_HOST_CHARACTERS]
        return cls(_machine(), pid, _start(pid) or 0, secrets.token_hex(4), host)

    @classmethod
    def parse(cls, name: str) -> "Owner | None":
        """Return whom `name` tells, or None if it is no such name."""
        found = _NAME.fullmatch(name)
        if not found:
            return None
        machine, pid, started, token, host = found.groups()
        return cls(machine, int(pid), int(started), token, host)

    def __str__(self) -> str:
        return f"{self.machine}-{self.pid}-{self.started}-{self.token}-{self.host}"

    @property
    def is_of_this_machine(self) -> bool:
        """Return whether this process can tell if that one is alive."""
        return self.machine == _machine()

    @property
    def is_gone(self) -> bool:
        """Return whether the process is known to have ended; of another machine's, nobody knows."""
        if not self.is_of_this_machine:
            return False
        start = _start(self.pid)
        return start is None or (0 != self.started != start)


@cache
def _machine() -> str:
    """Return a hash of this boot and this process-id namespace."""
    facts = [platform.node()]
    try:
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        facts.append(str(os.stat("/proc/self/ns/pid").st_ino))
    except OSError:  # only Linux has them
        facts.append(platform.platform())
    return sha256("\n".join(facts).encode()).hexdigest()[:8]


def _start(pid: int) -> int | None:
    """Return when a process started; 0 if nothing tells; None if it has ended."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if state in (b"Z", b"X") else int(fields[18])
    except OSError:
        return None if Path("/proc/self/stat").exists() else _signal(pid)


def _signal(pid: int) -> int | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:  # somebody else's
        return 0
    return 0
