"""What the values and gradients of a loss must be.

Every public function here is a check.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import backward

from dmlbench.contracts.pairs import PairMask, Pairs, Selection, Triplets
from dmlbench.errors import ConfigError, PluginError
from dmlbench.testing.batches import ODD, ORDINARY, Batch, Memory
from dmlbench.testing.findings import NotApplicableError, ShortcomingError, case
from dmlbench.testing.loss_steps import (
    gradients,
    pairs_of,
    pairs_with,
    require_finite_step,
    scaled,
    select_all,
    selections,
    start_epoch,
    train_briefly,
    value_of,
)
from dmlbench.testing.stand_ins import all_pairs
from dmlbench.testing.subject import EMBEDDING_DIM, Subject
from dmlbench.testing.tensors import require_finite

_MEMORY = Memory(Batch.random(15, 5, seed=4).embeddings, torch.arange(15) % 5)


def its_value_has_a_gradient_to_the_embeddings(subject: Subject) -> None:
    """The value is a scalar, and the network learns from its gradient."""
    loss = subject.make()
    train_briefly(loss)  # class weights may start at zero
    leaf, pairs = pairs_of(loss, ORDINARY)
    for name, selection in selections(loss, pairs):
        with case(name):
            value = value_of(loss, pairs, selection)
            require_finite("the value", value)
            found = gradients(loss, leaf, value)["the embeddings"]
            if found is None or not found.any():
                raise PluginError(
                    "The network learns nothing: on 12 random embeddings of 4 classes the "
                    f"gradient of the embeddings is {'0' if found is not None else 'not there'}. "
                    "Compute the value from pairs.anchors, or from pairs.similarity and the like, "
                    "without detach, and not from comparisons alone."
                )
            require_finite("the gradient of the embeddings", found)


def its_own_parameters_have_gradients(subject: Subject) -> None:
    """Every parameter of the loss contributes to its value, and so is trained."""
    loss = subject.make()
    if not list(loss.parameters()):
        raise NotApplicableError("It has no parameters of its own.")
    start_epoch(loss)
    leaf, pairs = pairs_of(loss, ORDINARY)
    found = gradients(loss, leaf, value_of(loss, pairs, select_all(loss, pairs)))
    idle = [name for name, gradient in found.items() if gradient is None]
    if idle:
        raise PluginError(
            f"The value does not depend on {' and '.join(idle)}, so it is never trained. Use it, "
            "or make it a buffer if it is not meant to be learned."
        )


def odd_batches_give_finite_values_and_gradients(subject: Subject) -> None:
    """Embeddings that are equal, opposite, of one class, alone or zero cause no NaN."""
    for name, batch in ODD.items():
        with case(f"the batch {name!r}"):
            loss = subject.make()
            start_epoch(loss, batch)
            require_finite_step(loss, *pairs_of(loss, batch))


def embeddings_on_its_own_parameters_give_finite_gradients(subject: Subject) -> None:
    """A similarity of exactly 1 or -1 with a proxy causes no NaN."""
    axes = torch.eye(EMBEDDING_DIM)
    for sign in (1.0, -1.0):
        loss = subject.make(num_classes=len(axes))
        rows = [weight for weight in loss.parameters() if weight.shape[-1:] == (EMBEDDING_DIM,)]
        if not rows:
            raise NotApplicableError("It has no parameters that embeddings are compared with.")
        for weight in rows:
            with torch.no_grad():
                turns = torch.arange(weight[..., 0].numel()) % len(axes)
                weight.copy_(sign * axes[turns].view_as(weight))
        with case(f"similarities of exactly {sign:g} between embeddings and its own parameters"):
            batch = Batch(axes, torch.arange(len(axes)))
            start_epoch(loss, batch, num_classes=len(axes))
            require_finite_step(loss, *pairs_of(loss, batch))


def the_ends_of_its_search_spaces_give_finite_gradients(subject: Subject) -> None:
    """No hyper-parameter value that its search space allows causes a NaN."""
    names = ("identical embeddings", "opposite classes", "one class")
    batches = {"an ordinary batch": ORDINARY, **{f"the batch {n!r}": ODD[n] for n in names}}
    for setting, variant in subject.at_the_ends():
        for name, batch in batches.items():
            with case(setting), case(name):
                loss = variant.make()
                start_epoch(loss, batch)
                require_finite_step(loss, *pairs_of(loss, batch))


def empty_selections_give_zero_with_a_zero_gradient(subject: Subject) -> None:
    """Where a miner finds nothing, there is nothing to learn: the value is 0, not NaN."""
    loss = subject.make()
    if loss.takes == "labels":
        raise NotApplicableError("It takes labels, and no selection.")
    start_epoch(loss)
    leaf, pairs = pairs_of(loss, ORDINARY)
    nothing, no_index = torch.zeros_like(pairs.positive), torch.empty(0, dtype=torch.int64)
    zero: dict[str, Selection] = {
        "no pair selected": PairMask(nothing, nothing),
        "no triplet selected": Triplets(no_index, no_index, no_index),
    }
    finite: dict[str, Selection] = {
        "only positives selected": PairMask(pairs.positive, nothing),
        "only negatives selected": PairMask(nothing, pairs.negative),
    }
    if loss.takes == "triplets":  # there are none in them
        zero |= finite
    for name, selection in (finite | zero).items():
        with case(name):
            value = value_of(loss, pairs, selection)
            named = {"the value": value, **gradients(loss, leaf, value)}
            for what, tensor in named.items():
                if tensor is not None and name not in zero:
                    require_finite(what, tensor)
                elif tensor is not None and (wrong := tensor[tensor != 0]).numel():
                    raise PluginError(
                        f"{what} is not 0 but {wrong.flatten()[0].item():g}. Take means with "
                        "masked_mean, which is 0 over nothing, and sum over the selection alone."
                    )


def a_memory_without_gradient_is_compared_with(subject: Subject) -> None:
    """Anchors may have more references than the batch: M is not B, and some have no gradient."""
    batch = Batch.random(8, 4, seed=5)
    for batch_too in (False, True):
        loss = subject.make()
        start_epoch(loss)
        leaf, pairs = pairs_with(loss, batch, _MEMORY, batch_too=batch_too)
        count = f"{len(pairs)} anchors and {len(pairs.references)} references"
        with case(count + (", the batch among them" if batch_too else ", all from a memory")):
            require_finite_step(loss, leaf, pairs)


def the_order_of_the_references_does_not_matter(subject: Subject) -> None:
    """References are a set: a memory may keep them in any order."""
    if subject.component.takes == "labels":
        raise NotApplicableError("It takes labels, and does not compare with references.")
    batch = Batch.random(12, 4, seed=6).double()
    order = torch.randperm(15, generator=torch.Generator().manual_seed(7))
    values = []
    whole_memory = Memory(_MEMORY.references.double(), _MEMORY.labels)
    for memory in (whole_memory, Memory(*(part[order] for part in whole_memory))):
        loss = subject.make().double()
        start_epoch(loss, batch)
        _, pairs = pairs_with(loss, batch, memory)
        before = torch.get_rng_state()
        values.append(value_of(loss, pairs, all_pairs(pairs)).item())
        if not torch.equal(before, torch.get_rng_state()):
            raise NotApplicableError("It draws at random for one reference after another.")
    if abs(values[0] - values[1]) > 1e-9 * max(1.0, abs(values[0])):
        raise PluginError(
            f"The value is {values[0]:.9g}, and {values[1]:.9g} with the references in another "
            "order. Find an anchor by pairs.self_index and classes by pairs.reference_labels, "
            "never by position."
        )


def diverged_embeddings_give_nan(subject: Subject) -> None:
    """A diverged network is noticed: its loss is NaN, not a number that looks fine."""
    loss = subject.make()
    start_epoch(loss)
    batch = Batch(torch.full_like(ORDINARY.embeddings, torch.nan), ORDINARY.labels)
    _, pairs = pairs_of(loss, batch)
    for name, selection in selections(loss, pairs):
        value = loss(pairs, selection)
        if not torch.isnan(value):
            raise PluginError(
                f"With embeddings that are all NaN ({name}) the value is {value.item():g}, and "
                "training continues as if nothing were wrong. It must be NaN: active_mean keeps "
                "NaN, a mask such as values > 0 loses it."
            )


def the_same_seed_gives_the_same_value(subject: Subject) -> None:
    """A trial repeats: with torch's generator in the same state, values and gradients are equal."""
    found = []
    for _ in range(2):
        loss = subject.make(seed=3)
        start_epoch(loss)
        leaf, pairs = pairs_of(loss, ORDINARY)
        value = value_of(loss, pairs, select_all(loss, pairs))
        found.append((value.item(), *gradients(loss, leaf, value).values()))
    same = [
        one == other if isinstance(one, float) or one is None else torch.equal(one, other)
        for one, other in zip(*found, strict=True)
    ]
    if not all(same):
        raise PluginError(
            "Created and called twice with the same seed, it gives the values "
            f"{found[0][0]!r} and {found[1][0]!r}, or different gradients. Draw random numbers "
            "from torch's global generator, and share nothing between instances."
        )


def float64_stays_float64(subject: Subject) -> None:
    """In double precision nothing is rounded to single, so formulas can be tested to 1e-9."""
    loss = subject.make().double()
    batch = ORDINARY.double()
    start_epoch(loss, batch)
    leaf, pairs = pairs_of(loss, batch)
    for name, selection in selections(loss, pairs):
        with case(name):
            value = value_of(loss, pairs, selection)
            named = {"the value": value, **gradients(loss, leaf, value)}
            for what, tensor in named.items():
                if tensor is not None and tensor.dtype != torch.float64:
                    raise PluginError(
                        f"From float64 embeddings {what} is {tensor.dtype}. Take the type from the "
                        "embeddings (new_zeros, dtype=pairs.anchors.dtype), without .float()."
                    )


def any_number_of_classes_and_dimensions_will_do(subject: Subject) -> None:
    """Two classes in three dimensions or twelve in seventeen work, or raise a ConfigError."""
    for classes, dim in ((2, 3), (12, 17)):
        with case(f"{classes} training classes and embeddings of {dim} dimensions"):
            try:
                loss = subject.make(num_classes=classes, embedding_dim=dim)
            except ConfigError:  # it may know better
                continue
            batch = Batch.random(2 * classes, classes, dim, seed=8)
            start_epoch(loss, batch, num_classes=classes)
            require_finite_step(loss, *pairs_of(loss, batch))


def it_works_in_mixed_precision(subject: Subject) -> None:
    """The harness calls a loss outside autocast, in float32; others may call it inside."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        off = torch.autocast("cpu", enabled=False)
        with case("autocast to bfloat16, switched off for the loss"), off:
            _step_in_float32(subject)
        try:
            _step_in_float32(subject)
        except Exception as error:
            raise ShortcomingError(
                f"Called inside autocast to bfloat16 it fails ({type(error).__name__}: {error}). "
                "The harness doesn't do that, but others may: similarities are bfloat16 there, so "
                "take the type of a value from the tensor that you assign it to."
            ) from error


def _step_in_float32(subject: Subject) -> None:
    loss = subject.make()
    start_epoch(loss)
    require_finite_step(loss, *pairs_of(loss, ORDINARY))


def training_by_it_finds_the_classes(subject: Subject) -> None:
    """A linear map trained for 200 steps finds four classes despite loud noise."""
    if subject.component.trained_as is not None:
        raise NotApplicableError(
            f"By itself it trains nothing; {subject.component.trained_as} does."
        )
    loss = subject.make(num_classes=4)
    labels = torch.arange(4).repeat_interleave(12)
    noise = torch.randn(loss.views, 48, 4, generator=torch.Generator().manual_seed(6))
    signal = F.one_hot(labels).float().expand(loss.views, -1, -1)
    inputs = torch.cat([signal, 2 * noise], dim=2).flatten(0, 1)
    torch.manual_seed(9)
    network = nn.Linear(8, EMBEDDING_DIM, bias=False)
    optimiser = torch.optim.Adam([*network.parameters(), *loss.parameters()], lr=0.03)
    untrained = _recall_at_1(network(inputs[:48]), labels)
    for _ in range(200):
        start_epoch(loss, Batch(network(inputs[:48]).detach(), labels), num_classes=4)
        anchors = scaled(loss, network(inputs))
        every = labels.repeat(loss.views)
        pairs = loss.extend(Pairs(anchors, every, normalized=loss.normalize))
        value = value_of(loss, pairs, select_all(loss, pairs))
        optimiser.zero_grad()
        backward(value)
        optimiser.step()
    trained = _recall_at_1(network(inputs[:48]), labels)
    if not trained > max(0.75, untrained):
        raise PluginError(
            f"After training with it, Recall@1 on the training items goes from {untrained:.0%} to "
            f"{trained:.0%} (the last value is {value.item():g}), where other losses reach more "
            "than 75%. Is a sign wrong, or are positives and negatives mixed up? If it is not a "
            "loss by itself, state trained_as."
        )


def _recall_at_1(embeddings: Tensor, labels: Tensor) -> float:
    similarity = Pairs(F.normalize(embeddings), labels).similarity.detach()
    nearest = similarity.fill_diagonal_(-2).argmax(1)
    return (labels[nearest] == labels).float().mean().item()
