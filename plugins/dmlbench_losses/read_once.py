"""A number on the device that Python needs too: read again only after it changed."""

from torch import Tensor


class ReadOnce:
    """Reads a tensor of one number, and remembers what it read: a read waits for a GPU.

    The tensor stays the truth. Where something else than `add` changed or replaced it, such as
    `load_state_dict` or `to`, it is read again.
    """

    def __init__(self) -> None:
        self._tensor: Tensor | None = None
        self._version = 0
        self._value: float = 0

    def __call__(self, tensor: Tensor) -> float:
        """Return the number in `tensor`."""
        if tensor is not self._tensor or tensor._version != self._version:
            self._remember(tensor, tensor.item())
        return self._value

    def add(self, tensor: Tensor, number: int) -> None:
        """Add to the number in `tensor`, in place, without a read."""
        value = self(tensor) + number
        tensor += number
        self._remember(tensor, value)

    def _remember(self, tensor: Tensor, value: float) -> None:
        self._tensor, self._version, self._value = tensor, tensor._version, value
