"""What the child process of first imports does: it imports modules, and says what they are made of.

The kinds of component come first: what they need of ours is loaded before strangers' code is.
"""

import sys
from typing import Any

from dmlbench.components.distributions import owners
from dmlbench.components.entry_points import Entry
from dmlbench.components.importing import base_class, import_value
from dmlbench.errors import PluginError, describe_exception

_ours = set(sys.stdlib_module_names)


def answer(message: Entry | set[str]) -> dict[str, Any]:
    """Import what an entry names, or what components of some kinds need.

    Returns:
        ``refused``: what it raised, if that is nothing to raise in a run. Else what was imported up
        to now: ``files`` of strangers' own code, and ``libraries``, by module the versions of the
        distributions that it is of. Nothing after an ordinary exception.
    """
    if not isinstance(message, Entry):
        for kind in message:
            base_class(kind)
        _ours.update(_top_modules())
        return {}
    try:
        import_value(message)
    except PluginError as error:
        cause = error.__cause__
        if isinstance(cause, Exception | SystemExit) or cause is None:
            return {}
        return {"refused": f"raised {describe_exception(cause)}"}
    except KeyboardInterrupt as error:
        return {"refused": f"raised {describe_exception(error)}"}
    libraries = {top: owners(top) for top in _top_modules() - _ours}
    libraries = {t: of for t, of in libraries.items() if of and message.distribution not in of}
    own = [
        module
        for name, module in tuple(sys.modules.items())
        if (top := name.partition(".")[0]) not in _ours and top not in libraries
    ]
    files = {file for module in own if isinstance(file := getattr(module, "__file__", None), str)}
    return {"files": sorted(files), "libraries": libraries}


def _top_modules() -> set[str]:
    return {name.partition(".")[0] for name in tuple(sys.modules)}
