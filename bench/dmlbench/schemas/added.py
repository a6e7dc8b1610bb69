"""The mark of fields and hyper-parameters that older records do not have."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Added:
    """Marks a field of a schema, or a hyper-parameter, that was added after records were made.

    ``normalise: Annotated[bool, Added(before=False)] = True`` says that trials behaved as with
    False before the argument existed. At that value it is left out of a trial's id, so published
    records keep theirs. Any other value, including today's default, is part of the id.

    Args:
        before: the value that describes what older trials did.

    Example:
        >>> Added(before=1).is_before(1), Added(before=1).is_before(4)
        (True, False)
    """

    before: Any

    def is_before(self, value: Any) -> bool:
        """Return whether `value` is what older trials did; a list equals a tuple, as in JSON."""
        if value == self.before:
            return True
        if value is None or isinstance(
            value, str | int | float
        ):  # most are, in thousands of trials
            return False
        return bool(_as_json(value) == _as_json(self.before))


def added(metadata: Iterable[Any]) -> Added | None:
    """Return the mark among the extras of an annotation, if there is one."""
    return next((extra for extra in metadata if isinstance(extra, Added)), None)


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=vars))  # a whole section has fields
