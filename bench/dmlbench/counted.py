"""A number with its noun."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return `number` with `noun`, in the plural unless it is one.

    Args:
        number: of things.
        noun: what one of them is called.
        plural: what several are called, if not the noun with an s.

    Example:
        >>> counted(1, "row"), counted(1_584, "record"), counted(2, "class", "classes")
        ('1 row', '1,584 records', '2 classes')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
