"""IDX, the file format of MNIST: a magic number, the sizes, then the bytes.

The magic number is two zero bytes, a type code (8: uint8) and the number of dimensions; each size
is a big-endian 32-bit integer (Y. LeCun, C. Cortes and C. Burges, THE MNIST DATABASE, 1998).
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from dmlbench import DataError

UINT8 = 8
MOST_BYTES = 1 << 28
"""Of an unpacked file; the largest of MNIST has 47 million."""


def read_bytes(path: Path) -> bytes:
    """Return a file's content, unpacked if its name ends in ``.gz``.

    Raises:
        DataError: the file can't be read, or its gzip stream is damaged or cut short.
    """
    try:
        if path.suffix != ".gz":
            return path.read_bytes()
        with gzip.open(path) as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise EOFError(f"it unpacks to more than {MOST_BYTES:,} bytes")
        return content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"Can't read {path}: {error}. Delete it and fetch the official file again."
        ) from error


def parse_idx(content: bytes, source: str) -> np.ndarray:
    """Return the uint8 array in an IDX file's `content`; `source` names it in errors.

    Raises:
        DataError: not IDX, not uint8, more or fewer bytes than the header says, or more
            dimensions than an array can have.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != UINT8 or content[3] == 0:
        raise DataError(
            f"{source} is not an IDX file of uint8: it starts with 0x{content[:4].hex()}, "
            "not 0x000008 and the number of dimensions."
        )
    dimensions = content[3]
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(f"{source} ends within its IDX header, after {len(content)} bytes.")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{source} holds {len(content) - start:,} bytes of data; its header "
            f"({' x '.join(map(str, shape))}) asks for {math.prod(shape):,}."
        )
    try:
        return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
    except ValueError as error:  # NumPy has a limit for them
        raise DataError(f"{source} has {dimensions} dimensions: {error}.") from error


def to_idx(pixels: bytes, *shape: int) -> bytes:
    """Return the content of an IDX file with these uint8 `pixels` of the given shape."""
    return struct.pack(f">2x2B{len(shape)}I", UINT8, len(shape), *shape) + pixels
