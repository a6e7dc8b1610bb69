"""A component's state, as a checkpoint brings it back."""

import json
from typing import Any

from dmlbench.contracts.saved_state import load_saved_state, saved_state
from dmlbench.errors import PluginError
from dmlbench.storage.trees import NotATreeError, pack, unpack


def reload(old: Any, new: Any, mend: str) -> None:
    """Give `new` what a checkpoint keeps of `old`.

    Args:
        old: a component that was used.
        new: one that was not.
        mend: what to do if it can't be loaded, as a sentence.

    Raises:
        PluginError: the state can't be stored without pickle, or does not load.
    """
    try:
        packed, tensors = pack(saved_state(old))
    except NotATreeError as error:
        raise PluginError(
            f"Its state can't be stored without pickle: {error}. Keep tensors, NumPy arrays, "
            "numbers, texts, and lists, tuples and dictionaries of these."
        ) from error
    state = unpack(json.loads(json.dumps(packed)), tensors)
    try:
        load_saved_state(new, state)
    except Exception as error:
        raise PluginError(
            f"A new instance can't load its state after some steps: {error} {mend}"
        ) from error
