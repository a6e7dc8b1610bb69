"""Losses with one fault each in what they state about themselves."""

import sys
from typing import Annotated

from testing.faults import Faults
from testing.sound_losses import Sound
from torch import nn

from dmlbench import (
    LogUniform,
    Uniform,
)

FAULTS = Faults("loss")
found_by = FAULTS.found_by


@found_by("it_is_a_component_of_its_kind")
class NoBaseClass(nn.Module):
    """Looks like a loss."""


@found_by("it_is_a_component_of_its_kind")
class TakesSomethingElse(Sound):
    """States a kind of selection that does not exist."""

    takes = "quadruplets"


@found_by("its_signature_can_be_read")
class UnstorableDefault(Sound):
    """Has a default that no record can store."""

    def __init__(self, *, weights=frozenset({1, 2})):
        super().__init__()


@found_by("it_asks_only_for_what_it_is_given")
class AsksForASeed(Sound):
    """Wants a seed of its own."""

    def __init__(self, *, random_state: int):
        super().__init__()


@found_by("it_can_be_made")
class CannotBeMade(Sound):
    """Has a constructor with a bug."""

    def __init__(self):
        sys.exit("sorry")


@found_by("a_docstring_says_what_it_is")
class NoDocstring(Sound):
    pass


@found_by("defaults_lie_in_their_search_spaces")
class DefaultOutside(Sound):
    """Has a default outside its search space."""

    def __init__(self, *, scale: Annotated[float, Uniform(1.0, 2.0)] = 3.0):
        super().__init__()


@found_by("defaults_lie_in_their_search_spaces")
class NoLogarithm(Sound):
    """Has a logarithmic search space that starts at 0."""

    def __init__(self, *, scale: Annotated[float, LogUniform(0.0, 2.0)] = 1.0):
        super().__init__()


@found_by("defaults_are_of_their_type", "defaults_lie_in_their_search_spaces")
class TextForANumber(Sound):
    """Has text as the default of a number."""

    def __init__(self, *, scale: Annotated[float, Uniform(0.0, 1.0)] = "0.5"):
        super().__init__()


@found_by("search_spaces_are_stated")
class NoSearchSpace(Sound):
    """Has a setting without a search space."""

    def __init__(self, *, scale: float = 1.0):
        super().__init__()


@found_by("it_names_its_paper")
class NoPaper(Sound):
    """Names no paper."""

    paper = ""


@found_by("stated_facts_are_of_the_right_type")
class NegativeRate(Sound):
    """Trains its own parameters uphill."""

    own_lr_multiple = -1.0


@found_by("its_default_miner_is_found")
class UnknownMiner(Sound):
    """Names a miner that is not installed."""

    default_miner = "hardest"


@found_by("its_paper_sampler_is_found")
class SamplerAlone(Sound):
    """Names a sampler without its settings."""

    paper_sampler = "m-per-class"


@found_by("its_paper_sampler_is_found")
class UnknownSamplerSetting(Sound):
    """Sets an argument that its sampler doesn't have."""

    paper_sampler = ("m-per-class", {"n": 2})


@found_by("trained_as_names_losses_that_are_found")
class UnknownPartner(Sound):
    """Names a loss to be trained with that is not installed."""

    trained_as = "tripled+0.5*contrastive"


@found_by("it_is_a_component_of_its_kind")
class SilentEpochs(Sound):
    """Waits for epochs that nobody announces."""

    def start_epoch(self, embeddings, labels):
        self.started = True


@found_by("it_announces_that_it_starts_epochs")
class IdleEpochs(Sound):
    """Asks for a pass over the training items, and does nothing with it."""

    starts_epochs = True


@found_by("it_is_a_component_of_its_kind")
class Misspelt(Sound):
    """States a fact under a name that nobody reads."""

    own_weight_deacy = 1e-4
