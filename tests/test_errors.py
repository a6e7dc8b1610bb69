"""How exceptions of strangers are worded, whatever their own code does."""

import re
import threading

import pytest

from dmlbench import errors
from dmlbench.errors import PluginError, describe_exception, guarded


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def with_text(function) -> BaseException:
    return raised(type("OddError", (BaseException,), {"__str__": function})())


class Loud(str):
    """A text that can't be cut or measured."""

    def __getitem__(self, key):
        raise RuntimeError

    __len__ = __iter__ = __format__ = __getitem__


def fail(self):
    raise GeneratorExit


PLACE = r" \(test_errors.py:\d+, in raised\)"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (raised(KeyError("margin")), "KeyError: 'margin'"),
        (raised(SystemExit(3)), "SystemExit: 3"),
        (with_text(fail), r"OddError: \(its text can't be had: GeneratorExit\)"),
        (with_text(lambda self: 7), r"OddError: \(its text can't be had: TypeError\)"),
        (with_text(lambda self: Loud("loud")), "OddError: loud"),
        (raised(ValueError("a\x1b[2J\x00\udc80\nb")), "ValueError: a�\\[2J��\nb"),
    ],
)
def test_any_exception_has_type_text_and_place(error, text):
    with pytest.raises(PluginError) as caught, guarded("The plugin"):
        raise error if isinstance(error, Exception) else PluginError(describe_exception(error))
    assert caught.match(text + PLACE)
    str(caught.value).encode()  # no lone surrogates, which JSON readers refuse


def test_a_text_that_never_comes_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(errors, "_TEXT_SECONDS", 0.01)
    release = threading.Event()
    error = with_text(lambda self: str(release.wait()))
    assert "OddError: (its text could not be had in time)" in describe_exception(error)
    release.set()


def test_a_text_of_any_length_is_cut():
    described = describe_exception(ValueError("x" * 5_000_000))
    assert len(described) < 2_100
    assert re.fullmatch(r"ValueError: x+ … \(4,99[\d,]+ left out\) … x+", described)


def test_the_place_is_the_plugins_line_not_pythons():
    with pytest.raises(ImportError) as caught:
        import not_there_at_all  # noqa: F401
    assert "(test_errors.py:" in describe_exception(caught.value)
