"""What the network of a backbone must do.

Every public function here is a check.
"""

import math
from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor, nn

from dmlbench.compute.process_state import SEED, require_untouched
from dmlbench.contracts.components import Backbone, ImageFormat
from dmlbench.contracts.pretraining import Contamination, Pretraining
from dmlbench.contracts.saved_state import saved_state
from dmlbench.errors import ConfigError, PluginError
from dmlbench.storage.trees import is_same
from dmlbench.testing.findings import NotApplicableError, ShortcomingError, case
from dmlbench.testing.stored_state import reload
from dmlbench.testing.subject import Subject
from dmlbench.testing.tensors import (
    describe,
    require_a_device_everywhere,
    require_finite,
    require_registered,
)

_SIDES = (32, 64, 128, 224)
"""Image sizes to try until the backbone accepts one, if it leaves the size open."""


def its_image_format_is_usable(subject: Subject) -> None:
    """Channels and size are numbers or None; mean and std have one value, or one per channel."""
    backbone = subject.make()
    if backbone.modality == "vector":
        raise NotApplicableError("It takes vectors.")
    wanted = backbone.image_format()
    if not isinstance(wanted, ImageFormat):
        raise PluginError(f"image_format returned {wanted!r}; it must be an ImageFormat.")
    for name in ("channels", "size"):
        value = getattr(wanted, name)
        if value is not None and not (type(value) is int and value >= 1):
            raise PluginError(f"Its image format has {name} = {value!r}; state a number, or None.")
    if wanted.channels not in (None, 1, 3):
        raise PluginError(
            f"Its image format has {wanted.channels} channels; images have 1 or 3, or as many as "
            "the dataset has (None)."
        )
    for name in ("mean", "std"):
        values = getattr(wanted, name)
        if len(values) not in (1, wanted.channels) or not all(map(math.isfinite, values)):
            raise PluginError(
                f"Its image format has {name} = {values!r}; state one number, or one per channel "
                "(and then the number of channels)."
            )
    if min(wanted.std) <= 0:
        raise PluginError(f"Its image format has std = {wanted.std!r}; deviations must be above 0.")


def what_its_settings_stand_for_is_settings(subject: Subject) -> None:
    """`resolved` names hyper-parameters, with values that they can have and keep."""
    found: object = subject.make().resolved()
    if not isinstance(found, dict):
        raise PluginError(f"resolved returned {found!r}; it must return a dictionary of settings.")
    known = subject.hyperparameters
    if unknown := sorted(map(str, found.keys() - known.keys())):
        raise PluginError(
            f"resolved names {unknown[0]!r}, which is no hyper-parameter of {subject.name}: trials "
            "could not record it."
        )
    try:
        settled = {**subject.settings, **{key: known[key].check(found[key]) for key in found}}
    except ConfigError as error:
        raise PluginError(f"resolved returned what its setting can't be: {error}") from error
    again = replace(subject, settings=settled).make().resolved()
    if again != found:
        raise PluginError(
            f"With the settings that resolved returned, {found}, it returns {again}. Trials record "
            "the first, and would be other trials when they are planned again."
        )


def its_pretraining_is_told_in_full(subject: Subject) -> None:
    """`pretraining` names the data and what of the benchmarks is in them; None without any."""
    found: object = subject.make().pretraining()
    if found is None:
        raise NotApplicableError("It starts at random, or does not say what it was trained on.")
    if not isinstance(found, Pretraining):
        raise PluginError(f"pretraining returned {found!r}; it must be a Pretraining, or None.")
    if not (isinstance(found.data, str) and found.data and isinstance(found.licence, str)):
        raise PluginError(
            f"Its pretraining has data = {found.data!r} and licence = {found.licence!r}; name the "
            "data in words, 'unknown data' if need be, and leave the licence '' if it is not known."
        )
    for dataset, one in found.contamination.items():
        if not isinstance(one, Contamination):
            raise PluginError(
                f"What it says of {dataset!r} is {one!r}; it must be a Contamination: yes, no or "
                "unknown for images and classes, with a reason."
            )
        if not one.reason and {one.images, one.classes} != {"unknown"}:
            raise PluginError(
                f"Of {dataset!r} in its data it says {one.images!r} (images) and {one.classes!r} "
                "(classes), without a reason. Name a source, or answer 'unknown'."
            )


def without_weights_it_is_the_same_network(subject: Subject) -> None:
    """`without_weights` builds the same layers, from nothing: `dmlbench show` counts them."""
    network, inputs = _built(subject)
    bare: object = subject.make().without_weights()
    if not isinstance(bare, Backbone):
        raise PluginError(f"without_weights returned {bare!r}; it must return a Backbone.")
    if bare.files() or bare.repositories():
        raise PluginError(
            "What without_weights returned still takes weights from a file or from the hub. Return "
            "a backbone that starts at random."
        )
    other = _build(bare, tuple(inputs.shape[1:]), SEED)
    shapes = [{k: v.shape for k, v in each.named_parameters()} for each in (network, other)]
    if shapes[0] != shapes[1]:
        odd = next(iter(shapes[0].items() ^ shapes[1].items()))[0]
        raise PluginError(
            f"without_weights builds another network: its parameters differ in {odd!r}. Pass on "
            "all settings but those of the weights."
        )


def it_makes_a_vector_of_features_of_each_input(subject: Subject) -> None:
    """The network maps a float32 batch [B, *shape] to features [B, num_features]."""
    network, inputs = _built(subject)
    count: object = network.num_features
    if not isinstance(count, int) or count < 1:
        raise PluginError(f"num_features is {count!r}; it must be a whole number, at least 1.")
    for mode in (True, False):
        with case(f"the network in {'training' if mode else 'evaluation'} mode"):
            features = network.train(mode)(inputs.clone())
            wanted = (len(inputs), count)
            if not isinstance(features, Tensor) or features.shape != wanted:
                raise PluginError(
                    f"From inputs {[*inputs.shape]} it makes {describe(features)}; with its "
                    f"num_features that must be {[*wanted]}. Flatten or pool to a vector per item."
                )
            if features.dtype != torch.float32:
                raise PluginError(
                    f"Its features are {features.dtype}, not float32 like its inputs."
                )
            require_finite("the features", features)


def the_same_seed_builds_the_same_network(subject: Subject) -> None:
    """Initial weights come from torch's global generator: all losses start from the same ones."""
    states = [_built(subject)[0].state_dict() for _ in range(2)]
    other = [name for name, value in states[0].items() if not _equal(value, states[1].get(name))]
    if other:
        raise PluginError(
            f"Built twice with the same seed, its weights differ: {', '.join(other[:5])}. Draw "
            "them from torch's global generator, without a seed of your own."
        )


def _equal(one: object, other: object) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return one == other


def evaluation_treats_each_item_by_itself(subject: Subject) -> None:
    """In evaluation mode an item's features depend neither on its batch nor on chance."""
    network, inputs = _built(subject)
    network.train()(inputs.clone())  # fills running averages
    network.eval()
    with torch.no_grad():
        together, again = network(inputs.clone()), network(inputs.clone())
        alone = torch.cat([network(item[None].clone()) for item in inputs])
    if not torch.equal(together, again):
        raise PluginError(
            "In evaluation mode it gives the same inputs different features. Switch off dropout "
            "and other randomness when self.training is False."
        )
    if not torch.allclose(together, alone, rtol=1e-3, atol=1e-4):
        worst = (together - alone).abs().max().item()
        raise PluginError(
            f"In evaluation mode the features of an item change by up to {worst:.3g} with the "
            "other items in its batch. Use averages from training there, as batch norm does."
        )


def gradients_reach_its_parameters(subject: Subject) -> None:
    """Everything that can be trained is trained."""
    network, inputs = _built(subject)
    named = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    if not named:
        raise NotApplicableError("It has no parameters to train.")
    features = network.train()(inputs.clone())
    if not features.requires_grad:
        raise PluginError(
            "Its features have no gradient, though it has parameters to train. Remove no_grad and "
            "detach, or set requires_grad of frozen weights to False."
        )
    # A square: the sum of normalised features would be constant.
    found = torch.autograd.grad(features.square().sum(), list(named.values()), allow_unused=True)
    idle = [name for name, gradient in zip(named, found, strict=True) if gradient is None]
    if len(idle) == len(named):
        raise PluginError(
            "No gradient reaches any of its parameters. Use them in forward, or set requires_grad "
            "of frozen weights to False."
        )
    if idle:
        raise ShortcomingError(
            f"No gradient reaches {len(idle)} of its {len(named)} parameters: "
            f"{', '.join(idle[:5])}. Remove layers that are not used."
        )


def its_inputs_stay_as_they_were(subject: Subject) -> None:
    """A network that works in place needs a copy of its inputs."""
    network, inputs = _built(subject)
    given = inputs.clone()
    network(given)
    if not torch.equal(given, inputs):
        raise ShortcomingError(
            "It changes its inputs. The harness passes it copies, others may not: remove "
            "inplace=True from the first layer."
        )


def it_goes_on_from_a_checkpoint_to_the_bit(subject: Subject) -> None:
    """A trial that is stopped in mid-training goes on from its checkpoint as if it never was."""
    network, inputs = _built(subject)
    network.train()(inputs.clone())
    other, _ = _built(subject, seed=2)
    reload(network, other, "Give buffers their final size at the start.")
    found = []
    for each in (network, other):
        torch.manual_seed(4)
        with torch.no_grad():
            features = [each.train(mode)(inputs.clone()) for mode in (False, True, False)]
        found.append((features, saved_state(each)))
    if not is_same(*found):
        raise PluginError(
            "A new network with the state_dict of a trained one makes different features. "
            "Something that it learned or counted is in no parameter or buffer. Use "
            "register_buffer; what is no tensor is returned by get_extra_state and taken back by "
            "set_extra_state."
        )


def it_moves_to_another_device_as_a_whole(subject: Subject) -> None:
    """`.to(device)` moves everything it computes with; it works on a GPU, if there is one."""
    network, inputs = _built(subject)
    network(inputs.clone())
    require_registered(network)
    if torch.cuda.is_available():
        with case("everything on a GPU"):
            network.to("cuda")(inputs.to("cuda")).sum().backward()


def it_computes_where_its_inputs_are(subject: Subject) -> None:
    """Every intermediate tensor is created on the device of the inputs."""
    network, inputs = _built(subject)
    require_a_device_everywhere(lambda: network(inputs.clone()))


def the_surroundings_stay_as_they_were(subject: Subject) -> None:
    """A backbone sets no seed, nor anything else that the whole process shares."""

    def run() -> None:
        network, inputs = _built(subject)
        network(inputs)

    require_untouched(run)


def _built(subject: Subject, seed: int = SEED) -> tuple[nn.Module, Tensor]:
    """Return a network in training mode, and a batch of inputs that it accepts.

    Raises:
        PluginError: build returned something else.
    """
    backbone = subject.make()
    *smaller, shape = _shapes(backbone)
    for each in smaller:
        with suppress(Exception):  # a deep network may need larger images
            network = _build(backbone, each, seed)
            network.eval()(torch.zeros(1, *each))
            shape = each
            break
    else:
        network = _build(backbone, shape, seed)
    generator = torch.Generator().manual_seed(seed)
    return network.train(), torch.randn(4, *shape, generator=generator)


def _shapes(backbone: Backbone) -> list[tuple[int, ...]]:
    """Return shapes of one input that the backbone may accept, the largest last."""
    if backbone.modality == "vector":
        return [(5,)]
    wanted = backbone.image_format()
    sides = (wanted.size,) if wanted.size else _SIDES
    return [(wanted.channels or 3, side, side) for side in sides]


def _build(backbone: Backbone, shape: tuple[int, ...], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = backbone.build(shape)
    if not isinstance(network, nn.Module):
        raise PluginError(f"build returned {network!r}; it must return a torch.nn.Module.")
    if not hasattr(network, "num_features"):
        raise PluginError(
            "The network has no attribute num_features. Set it to the number of features that it "
            "makes of an input."
        )
    return network
