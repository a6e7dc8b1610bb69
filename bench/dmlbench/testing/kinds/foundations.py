"""Checks without which no other makes sense: if one fails, the others are not run.

Every public function here is a check.
"""

import inspect

from dmlbench.components.entry_points import Entry
from dmlbench.components.hyperparameters import INJECTED, resolve
from dmlbench.components.importing import check_kind
from dmlbench.errors import PluginError
from dmlbench.testing.subject import AVAILABLE, Subject


def it_is_a_component_of_its_kind(subject: Subject) -> None:
    """A component has the base class of its kind and states what others need to know about it."""
    check_kind(Entry(subject.kind, subject.name, "", "", subject.name), subject.component)


def its_signature_can_be_read(subject: Subject) -> None:
    """Every argument with a default is a hyper-parameter that a record can store."""
    resolve(subject.component, subject.kind, subject.settings)


def it_asks_only_for_what_it_is_given(subject: Subject) -> None:
    """An argument without a default is one that the harness passes to its kind of component."""
    given = AVAILABLE.get(subject.kind, {})
    for parameter in inspect.signature(subject.component).parameters.values():
        missing = parameter.default is parameter.empty and parameter.name in INJECTED
        if missing and parameter.name not in given:
            raise PluginError(
                f"It asks for {parameter.name!r}, but a {subject.kind} is given "
                f"{' and '.join(given) or 'nothing'} by name. Give it a default, or leave it out."
            )


def it_can_be_made(subject: Subject) -> None:
    """The class can be instantiated with its defaults, and with the settings under test."""
    subject.make()
