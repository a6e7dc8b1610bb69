"""Checkpoints: one file each, safetensors with a JSON header, written whole or not at all."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dmlbench.errors import DataError
from dmlbench.storage.atomic import write_atomically
from dmlbench.storage.trees import as_bytes, pack, unpack

_HEADER = "dmlbench checkpoint"


def write_checkpoint(path: Path, key: Mapping[str, Any], content: Any) -> None:
    """Write a checkpoint to `path`.

    Args:
        path: of the file.
        key: what must be equal where it is used; plain JSON.
        content: a tree, see `storage.trees`.

    Raises:
        NotATreeError: `content` is no tree.
        OSError: it can't be written.
    """
    from safetensors.torch import save

    packed, tensors = pack(content)
    text = json.dumps({"key": key, "content": packed})
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {_HEADER: text, "checksum": str(_checksum(text, tensors))}
    write_atomically(path, save(tensors, header))


def read_checkpoint(path: Path) -> tuple[dict[str, Any], Any] | None:
    """Return the key and the content of the checkpoint at `path`; None if there is none.

    Raises:
        DataError: the file can't be read, is damaged, or is no checkpoint.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    if not path.is_file():
        raise DataError(f"{path} is not a regular file")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            text = header.get(_HEADER, "")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header.get("checksum") != str(_checksum(text, tensors)):
            raise DataError(f"{path} is damaged: its checksum is not that of its content")
        found = json.loads(text)
        return found["key"], unpack(found["content"], tensors)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error}") from error


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> int:
    total = zlib.crc32(text.encode())
    for name in sorted(tensors):
        total = zlib.crc32(as_bytes(tensors[name]), total)
    return total
