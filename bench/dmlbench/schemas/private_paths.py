"""Paths that a record does not tell: what is published names files, not the folders they lie in.

A path below the current folder is kept as it was typed. Of any other, the last name is left, and
the whole path stays in memory for the run.
"""

import re
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

_ELSEWHERE = r"(?:~[^/\\:+]*|\.\.)?/[^:+]+|\.\.|[A-Za-z]:[\\/][^:+]+"
_IN_A_REFERENCE = re.compile(rf"(^|[:+*/])({_ELSEWHERE})")


def without_folders(path: str) -> str:
    """Return a path as it may be published.

    Example:
        >>> without_folders("/home/me/resnet50.pth"), without_folders("weights/resnet50.pth")
        ('resnet50.pth', 'weights/resnet50.pth')
    """
    elsewhere = re.fullmatch(_ELSEWHERE, path) or ".." in PurePath(path).parts
    return _last_name(path) if elsewhere else path


def reference_without_folders(reference: str) -> str:
    """Return a reference to components as it may be published.

    Example:
        >>> reference_without_folders("folder:~/photos/birds/")
        'folder:birds'
        >>> reference_without_folders("xbm//home/me/own.py:Own+0.5*triplet")
        'xbm/own.py:Own+0.5*triplet'
        >>> reference_without_folders("timm/resnet50.a1_in1k")
        'timm/resnet50.a1_in1k'
    """
    return _IN_A_REFERENCE.sub(lambda found: found[1] + _last_name(found[2]), reference)


def without_home(text: str) -> str:
    """Return `text` with ``~`` in place of the path of the user's own folder."""
    home = str(Path.home())
    if len(PurePath(home).parts) < 2:  # a user without a folder of their own
        return text
    return re.sub(rf"(?<![\w/\\]){re.escape(home)}(?![\w.-])", "~", text)


def _last_name(path: str) -> str:
    kind = PureWindowsPath if re.match(r"[A-Za-z]:", path) else PurePosixPath
    return kind(path).name.replace("..", "") or "folder"
