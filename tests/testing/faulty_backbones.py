"""Backbones with one fault each."""

from typing import Annotated

import torch
from testing.faults import Faults
from torch import nn

from dmlbench import Backbone, ConfigError, Contamination, ImageFormat, IntUniform, Pretraining

FAULTS = Faults("backbone")
found_by = FAULTS.found_by

EVERY_FEATURE = (
    "without_weights_it_is_the_same_network",
    "it_makes_a_vector_of_features_of_each_input",
    "the_same_seed_builds_the_same_network",
    "evaluation_treats_each_item_by_itself",
    "gradients_reach_its_parameters",
    "its_inputs_stay_as_they_were",
    "it_goes_on_from_a_checkpoint_to_the_bit",
    "it_moves_to_another_device_as_a_whole",
    "it_computes_where_its_inputs_are",
    "the_surroundings_stay_as_they_were",
)


class Plain(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.num_features = 6
        self.layers = nn.Sequential(nn.Linear(inputs, 6), nn.BatchNorm1d(6), nn.ReLU())

    def forward(self, inputs):
        return self.layers(inputs.flatten(1))


class Sound(Backbone):
    """A backbone for images of 64 pixels a side, without a fault."""

    Network = Plain

    def build(self, shape):
        if shape[1:] != (64, 64):
            raise ConfigError(f"It takes images of 64 x 64 pixels, not {shape}.")
        return self.Network(shape[0] * 64 * 64)


class SoundVectors(Backbone):
    """A backbone for vectors, without parameters and without a fault."""

    modality = "vector"

    def build(self, shape):
        network = nn.Identity()
        network.num_features = shape[0]
        return network


@found_by("its_image_format_is_usable")
class NoDeviation(Sound):
    """Divides pixels by 0."""

    def image_format(self):
        return ImageFormat(std=(0.0,))


@found_by("its_image_format_is_usable", *EVERY_FEATURE)
class FormatAsDict(Sound):
    """Returns a dictionary as its format."""

    def image_format(self):
        return {"channels": 3}


@found_by("its_image_format_is_usable", *EVERY_FEATURE)
class NoChannels(Sound):
    """Takes images without channels."""

    def image_format(self):
        return ImageFormat(channels=0.5)


@found_by("its_image_format_is_usable")
class TwoChannels(Sound):
    """Takes images of two channels, which do not exist."""

    def image_format(self):
        return ImageFormat(channels=2)


@found_by("its_image_format_is_usable")
class FourMeans(Sound):
    """Has one mean too many."""

    def image_format(self):
        return ImageFormat(channels=3, mean=(0.5, 0.5, 0.5, 0.5))


class Pooled(Sound):
    """Without a fault: a setting that stands for another one, and weights of known data."""

    def __init__(
        self,
        *,
        pooling: str = "upstream",
        width: Annotated[int, IntUniform(1, 100)] = 6,
        bare: bool = False,
    ):
        self.pooling = pooling
        self.width = width
        self.bare = bare

    def resolved(self):
        return {"pooling": "avg" if self.pooling == "upstream" else self.pooling}

    def without_weights(self):
        return type(self)(pooling=self.pooling, width=self.width, bare=True)

    def pretraining(self):
        return None if self.bare else Pretraining("birds", "mit", {"cub": self.answer})

    answer = Contamination("yes", "unknown", "All images of CUB, says its paper.")


SOUND = [Sound, SoundVectors, Pooled]


@found_by("what_its_settings_stand_for_is_settings")
class ResolvesToNothing(Pooled):
    """Says that it resolves to nothing."""

    def resolved(self):
        return None


@found_by("what_its_settings_stand_for_is_settings")
class ResolvesAnother(Pooled):
    """Resolves a setting that there is not."""

    def resolved(self):
        return {"polling": "avg"}


@found_by("what_its_settings_stand_for_is_settings")
class ResolvesToANumber(Pooled):
    """Resolves a setting to a value that it can't have."""

    def resolved(self):
        return {"pooling": 3}


@found_by("what_its_settings_stand_for_is_settings")
class NeverSettles(Pooled):
    """Resolves what is resolved once more."""

    def resolved(self):
        return {"width": self.width + 1}


@found_by("its_pretraining_is_told_in_full")
class PretrainedOnWords(Pooled):
    """Tells its pre-training in a sentence."""

    def pretraining(self):
        return "ImageNet-1k"


@found_by("its_pretraining_is_told_in_full")
class PretrainedOnNothing(Pooled):
    """Names no data."""

    def pretraining(self):
        return Pretraining("")


@found_by("its_pretraining_is_told_in_full")
class AnswersInWords(Pooled):
    """Answers without a Contamination."""

    answer = "yes"


@found_by("its_pretraining_is_told_in_full")
class NoReason(Pooled):
    """Says no, and not why."""

    answer = Contamination("no", "no")


@found_by("without_weights_it_is_the_same_network")
class BareIsNone(Pooled):
    """Has nothing without weights."""

    def without_weights(self):
        return None


@found_by("without_weights_it_is_the_same_network")
class BareStillLoads(Pooled):
    """Takes weights of the hub, with or without weights."""

    def repositories(self):
        return {"bare": "nobody/nothing"}


@found_by("without_weights_it_is_the_same_network")
class BareIsSmaller(Pooled):
    """Builds another network without weights."""

    def build(self, shape):
        network = super().build(shape)
        if self.bare:
            del network.layers[2:], network.layers[1]
        return network


@found_by(*EVERY_FEATURE)
class Raising(Sound):
    """Can't be built."""

    def build(self, shape):
        return {}["network"]


@found_by(*EVERY_FEATURE)
class NoFeatures(Sound):
    """Does not state how many features it makes."""

    def build(self, shape):
        network = super().build(shape)
        del network.num_features
        return network


@found_by("it_makes_a_vector_of_features_of_each_input")
class WrongFeatures(Sound):
    """States more features than it makes."""

    def build(self, shape):
        network = super().build(shape)
        network.num_features = 7
        return network


@found_by(*EVERY_FEATURE)
class NoNetwork(Sound):
    """Returns a function instead of a module."""

    def build(self, shape):
        return super().build(shape).forward


@found_by("it_makes_a_vector_of_features_of_each_input")
class CountInWords(Sound):
    """States its number of features in words."""

    def build(self, shape):
        network = super().build(shape)
        network.num_features = "six"
        return network


@found_by("it_makes_a_vector_of_features_of_each_input")
class DoubleFeatures(Sound):
    """Turns float32 into float64."""

    class Network(Plain):
        def forward(self, inputs):
            return super().forward(inputs).double()


@found_by("it_makes_a_vector_of_features_of_each_input")
class Maps(Sound):
    """Returns maps instead of vectors."""

    class Network(Plain):
        def forward(self, inputs):
            return super().forward(inputs)[..., None, None]


@found_by("the_same_seed_builds_the_same_network")
class Unseeded(Sound):
    """Draws its weights anew each time."""

    class Network(Plain):
        def __init__(self, inputs):
            super().__init__(inputs)
            generator = torch.Generator()
            generator.seed()
            nn.init.normal_(self.layers[0].weight, std=0.01, generator=generator)


@found_by("evaluation_treats_each_item_by_itself")
class LooksAround(Sound):
    """Subtracts the batch mean, even in evaluation mode."""

    class Network(Plain):
        def forward(self, inputs):
            features = super().forward(inputs)
            return features - features.mean(0)


@found_by("evaluation_treats_each_item_by_itself", "it_goes_on_from_a_checkpoint_to_the_bit")
class DropsAlways(Sound):
    """Has dropout even in evaluation mode."""

    class Network(Plain):
        def forward(self, inputs):
            return nn.functional.dropout(super().forward(inputs), 0.5, training=True)


@found_by("gradients_reach_its_parameters", "it_moves_to_another_device_as_a_whole")
class NoGradient(Sound):
    """Switches gradients off."""

    class Network(Plain):
        @torch.no_grad()
        def forward(self, inputs):
            return super().forward(inputs)


@found_by("gradients_reach_its_parameters")
class IdleLayer(Sound):
    """Has a classifier left over."""

    class Network(Plain):
        def __init__(self, inputs):
            super().__init__(inputs)
            self.classifier = nn.Linear(6, 1000)


@found_by("its_inputs_stay_as_they_were")
class InPlace(Sound):
    """Changes its inputs in place."""

    class Network(Plain):
        def forward(self, inputs):
            return super().forward(inputs.relu_())


@found_by("it_goes_on_from_a_checkpoint_to_the_bit")
class SecretAverage(Sound):
    """Keeps an average that no checkpoint holds."""

    class Network(Plain):
        mean = 0.0

        def forward(self, inputs):
            if self.training:
                self.mean = inputs.mean().item()
            return super().forward(inputs) * (1 + self.mean)


@found_by("it_moves_to_another_device_as_a_whole")
class StrayTensor(Sound):
    """Keeps a tensor as a plain attribute."""

    class Network(Plain):
        def __init__(self, inputs):
            super().__init__(inputs)
            self.scale = torch.tensor([2.0])

        def forward(self, inputs):
            return self.scale.to(inputs.device) * super().forward(inputs)


@found_by("it_computes_where_its_inputs_are")
class NoDevice(Sound):
    """Creates a tensor on torch's default device."""

    class Network(Plain):
        def forward(self, inputs):
            return super().forward(inputs) + torch.zeros(len(inputs), 1)


@found_by("the_surroundings_stay_as_they_were", "the_same_seed_builds_the_same_network")
class SetsASeed(Sound):
    """Seeds torch for the whole process."""

    def build(self, shape):
        torch.manual_seed(1)
        return super().build(shape)
