from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import pytest
from sklearn.decomposition import PCA, KernelPCA
from sklearn.neighbors import NeighborhoodComponentsAnalysis

from dmlbench import Choice, ConfigError, IntUniform, LogUniform, PluginError, Uniform
from dmlbench.components.hyperparameters import (
    check_argument,
    family_argument,
    hyperparameters,
    injections,
    resolve,
)

if TYPE_CHECKING:
    from nowhere import Unknown


class Postponed:
    """Its annotations are texts: this file postpones them."""

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_dim: int,
        margin: Annotated[float, Uniform(0.0, 1.0)] = 0.2,
        scale: Annotated[float | None, LogUniform(0.1, 10.0)] = None,
        offset: Optional[Annotated[float, Uniform(-1.0, 1.0)]] = 0.0,  # noqa: UP045
        steps: Annotated[int, IntUniform(1, 9)] = 3,
        squared: bool = False,
        metric: Literal["cosine", "euclidean"] = "cosine",
        power: Literal[1, 2] = 2,
        reducer: Annotated[str, Choice("mean", "sum")] = "mean",
        name: str = "",
        limit: int | None = None,
        gamma: float | str = "scale",
        weights: list[float] = [1.0],  # noqa: B006
        size: tuple[int, int] | None = None,
        names: Sequence[Literal["a", "b"]] = [],
        powers: dict[str, int] | str = "all",
        anything: Any = 1,
        random_state: int | None = None,
    ) -> None: ...


def set_one(name: str, value: Any, component: type = Postponed) -> Any:
    return resolve(component, "loss", {name: value})[name]


def test_every_argument_with_a_default_is_one_but_what_the_harness_passes():
    found = hyperparameters(Postponed)
    assert "num_classes" not in found
    assert "random_state" not in found
    assert found["margin"].space == Uniform(0.0, 1.0)
    assert found["margin"].type is float
    assert found["scale"].space == LogUniform(0.1, 10.0)
    assert found["offset"].space == Uniform(-1.0, 1.0)
    assert found["name"].space is None


def test_defaults_are_the_settings_without_any():
    values = resolve(Postponed, "loss", {})
    assert values["margin"] == 0.2
    assert values["scale"] is None
    assert values["metric"] == "cosine"
    assert list(values) == list(hyperparameters(Postponed))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("margin", "0.3", 0.3),
        ("margin", "1", 1.0),
        ("margin", "1e-2", 0.01),
        ("scale", "2", 2.0),
        ("scale", "none", None),
        ("scale", "None", None),
        ("offset", "-0.5", -0.5),
        ("offset", "none", None),
        ("steps", "9", 9),
        ("squared", "true", True),
        ("squared", "False", False),
        ("metric", "euclidean", "euclidean"),
        ("power", "1", 1),
        ("reducer", "sum", "sum"),
        ("name", "0.5", "0.5"),
        ("name", "none", "none"),
        ("limit", "7", 7),
        ("gamma", "0.5", 0.5),
        ("gamma", "auto", "auto"),
        ("weights", "[1, 2.5]", [1.0, 2.5]),
        ("weights", "[]", []),
        ("size", "[3,4]", (3, 4)),
        ("size", "none", None),
        ("names", '["a", "b"]', ["a", "b"]),
        ("powers", '{"x": 2}', {"x": 2}),
        ("powers", "{x", "{x"),
        ("anything", "x", "x"),
    ],
)
def test_texts_become_values_of_the_type(name, text, value):
    found = set_one(name, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("margin", "1.5", r"margin=1.5 is outside Uniform\(low=0.0, high=1.0\)"),
        ("margin", "nan", "outside"),
        ("margin", "big", "margin='big' is not of type float"),
        ("margin", "", "not of type float"),
        ("margin", "none", "not of type float"),
        ("margin", True, "not of type float"),
        ("scale", "100", "outside LogUniform"),
        ("offset", "2", "outside Uniform"),
        ("steps", "2.5", "not of type int"),
        ("steps", "0", "outside IntUniform"),
        ("steps", True, "not of type int"),
        ("squared", "yes", "not of type bool"),
        ("squared", "1", "not of type bool"),
        ("squared", 1, "not of type bool"),
        ("metric", "manhattan", "not of type .*Literal"),
        ("power", "3", "not of type .*Literal"),
        ("reducer", "max", r"outside Choice\('mean', 'sum'\)"),
        ("limit", "1.5", r"not of type int \| None"),
        ("gamma", "inf", "can't be kept in a record"),
        ("gamma", "nan", "can't be kept in a record"),
        ("weights", "abc", r"weights='abc' is not of type list\[float\]"),
        ("weights", "3", "not of type list"),
        ("weights", "[1, ", "not of type list"),
        ("weights", '["1"]', "not of type list"),
        ("weights", [True], "not of type list"),
        ("weights", {"a": 1}, "not of type list"),
        ("weights", "[NaN]", "can't be kept in a record"),
        ("size", "xx", r"not of type tuple\[int, int\] \| None"),
        ("size", "[1, 2, 3]", "not of type tuple"),
        ("size", "[1, 2.5]", "not of type tuple"),
        ("names", '["c"]', "not of type .*Sequence"),
        ("powers", '{"x": 2.5}', "not of type dict"),
    ],
)
def test_wrong_values_are_refused(name, value, reason):
    with pytest.raises(ConfigError, match=rf"^loss\.{name}.*{reason}|{reason}"):
        set_one(name, value)


def test_values_of_a_file_need_not_be_texts():
    assert set_one("margin", 1) == 1.0
    assert type(set_one("margin", 1)) is float
    assert type(set_one("scale", 1)) is float
    assert set_one("squared", True) is True


def test_a_misspelt_name_is_answered_by_the_nearest():
    with pytest.raises(
        ConfigError, match=r"loss.margn: Postponed has no .* Did you mean 'margin'\?"
    ):
        resolve(Postponed, "loss", {"margn": "0.3"})


def test_a_component_without_hyperparameters_says_so():
    class Plain:
        pass

    assert hyperparameters(Plain) == {}
    with pytest.raises(ConfigError, match="It has none at all"):
        resolve(Plain, "miner", {"k": 3})


def test_what_the_harness_passes_can_not_be_set():
    with pytest.raises(ConfigError, match="no hyper-parameter 'num_classes'"):
        resolve(Postponed, "loss", {"num_classes": 3})


def test_settings_survive_a_second_resolution():
    given = {"gamma": "0.5", "name": "true", "scale": "3", "weights": "[1]", "size": "[1, 2]"}
    once = resolve(Postponed, "loss", given)
    assert resolve(Postponed, "loss", once) == once
    assert resolve(Postponed, "loss", json.loads(json.dumps(once))) == once


# scikit-learn's estimators, which have no types


@pytest.mark.parametrize(
    ("component", "name", "text", "value"),
    [
        (PCA, "n_components", "16", 16),
        (PCA, "n_components", "0.95", 0.95),
        (PCA, "n_components", "mle", "mle"),
        (PCA, "n_components", "none", None),
        (PCA, "whiten", "true", True),
        (PCA, "svd_solver", "full", "full"),
        (PCA, "iterated_power", "7", 7),
        (PCA, "tol", "1", 1.0),
        (KernelPCA, "degree", "2", 2),
        (KernelPCA, "gamma", "none", None),
        (NeighborhoodComponentsAnalysis, "max_iter", "20", 20),
    ],
)
def test_untyped_arguments_are_read_as_what_they_look_like(component, name, text, value):
    found = set_one(name, text, component)
    assert found == value
    assert type(found) is type(value)


def test_the_seed_of_an_estimator_is_no_hyperparameter():
    assert "random_state" not in hyperparameters(PCA)
    assert injections(PCA, {"random_state": 3, "num_classes": 4}) == {"random_state": 3}


# Signatures that can't be used


def test_an_annotation_that_can_not_be_resolved_is_an_error_of_the_plugin():
    class Unresolvable:
        def __init__(self, *, margin: Unknown = 0.2) -> None: ...

    with pytest.raises(PluginError, match=r"Unresolvable can't be read: name 'Unknown'"):
        hyperparameters(Unresolvable)


def test_an_annotation_that_no_value_can_be_compared_with_is_an_error_of_the_plugin():
    class Stranger:
        pass

    class Odd:
        def __init__(self, *, parts=()) -> None: ...

    Odd.__init__.__annotations__["parts"] = list[Stranger]
    with pytest.raises(PluginError, match=r"list\[.*Stranger\] can't be checked"):
        set_one("parts", "[1]", Odd)


def test_a_default_that_no_record_can_hold_is_an_error_of_the_plugin():
    class Function:
        def __init__(self, *, activation=abs) -> None: ...

    class Infinite:
        def __init__(self, *, limit=float("inf")) -> None: ...

    class Odd:
        def __init__(self, *, labels={1, 2}) -> None: ...  # noqa: B006

    for component in (Function, Infinite, Odd):
        with pytest.raises(PluginError, match="can't be kept in a record"):
            hyperparameters(component)


def test_an_argument_by_name_without_a_default_is_an_error_of_the_plugin():
    class Demanding:
        def __init__(self, *, num_classes: int, margin: float) -> None: ...

    with pytest.raises(PluginError, match=r"'margin' of .*Demanding has no default"):
        hyperparameters(Demanding)


def test_a_builtin_without_a_signature_is_an_error_of_the_plugin():
    with pytest.raises(PluginError, match="builtins:type can't be read"):
        hyperparameters(type)


# Families


class Family:
    def __init__(self, path: str, *, fraction: float = 0.5) -> None: ...


def test_a_family_has_a_positional_argument_without_default():
    assert family_argument(Family) == "path"
    assert family_argument(Postponed) is None
    assert family_argument(PCA) is None


def test_what_the_harness_passes_makes_no_family():
    class Positional:
        def __init__(self, num_classes: int, embedding_dim: int, margin: float = 0.1) -> None: ...

    assert family_argument(Positional) is None


@pytest.mark.parametrize(
    ("component", "reference", "argument", "reason"),
    [
        (Family, "folder", None, "'folder' is a family: say which, as folder:PATH"),
        (Family, "folder:", "", "is a family"),
        (Postponed, "mnist:x", "x", "'mnist:x' is no family: leave out ':x'"),
        (Postponed, "mnist/", "", "'mnist/' is no family: leave out '/'"),
    ],
)
def test_a_family_needs_its_argument_and_nothing_else_has_one(
    component, reference, argument, reason
):
    with pytest.raises(ConfigError, match=reason):
        check_argument(component, "dataset", reference, argument)


def test_right_uses_of_families_pass():
    check_argument(Family, "dataset", "folder:x", "x")
    check_argument(Postponed, "loss", "margin", None)
