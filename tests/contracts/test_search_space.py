import pytest

from dmlbench import Choice, IntUniform, LogUniform, Uniform


@pytest.mark.parametrize("space", [Uniform(0.1, 2.0), LogUniform(0.1, 2.0)])
def test_a_range_holds_both_its_ends_and_nothing_beyond(space):
    assert 0.1 in space
    assert 2 in space
    assert 1.0 in space
    for outside in (0.0999, 2.0001, float("nan"), float("inf"), "1", None):
        assert outside not in space


def test_whole_numbers_are_asked_for_and_given():
    assert 3 in IntUniform(3, 5)
    assert 5 in IntUniform(3, 5)
    for outside in (2, 6, 4.0, "4", None):
        assert outside not in IntUniform(3, 5)


def test_a_choice_holds_its_options():
    assert "cosine" in Choice("cosine", None)
    assert None in Choice("cosine", None)
    assert "euclidean" not in Choice("cosine", None)


def test_spaces_say_what_they_allow():
    assert repr(Choice("a", 2)) == "Choice('a', 2)"
    assert repr(LogUniform(0.1, 2.0)) == "LogUniform(low=0.1, high=2.0)"


def test_spaces_are_equal_by_value_and_kind():
    assert Choice(1, 2) == Choice(1, 2) != Choice(2, 1)
    assert hash(Choice(1, 2)) == hash(Choice(1, 2))
    assert Uniform(0, 1) != LogUniform(0, 1)
