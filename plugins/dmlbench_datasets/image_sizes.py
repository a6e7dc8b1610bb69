"""Whether a set's images were resized before they came here, which no protocol can undo."""

from collections.abc import Sequence
from io import BytesIO

SAMPLE = 64


def is_resized_copy(images: Sequence[str | bytes]) -> bool:
    """Return whether images are all of one size; of a long list only a sample is checked.

    Args:
        images: paths, or encoded images, of a set whose official images differ in size.

    Files that can't be opened are skipped: decoding will report them.
    """
    from PIL import Image

    sizes, step = [], max(1, len(images) // SAMPLE)
    for image in images[::step]:
        try:
            with Image.open(BytesIO(image) if isinstance(image, bytes) else image) as opened:
                sizes.append(opened.size)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            continue
    return len(sizes) > 1 and len(set(sizes)) == 1
