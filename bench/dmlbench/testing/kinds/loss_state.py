"""What a loss keeps, and what it must not change.

Every public function here is a check.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import backward

from dmlbench.compute.process_state import require_untouched
from dmlbench.contracts.components import Loss
from dmlbench.contracts.pairs import Pairs, Selection
from dmlbench.contracts.saved_state import saved_state
from dmlbench.errors import PluginError
from dmlbench.storage.trees import is_same
from dmlbench.testing.batches import ORDINARY, Batch, shared_tensors
from dmlbench.testing.findings import NotApplicableError, ShortcomingError, case
from dmlbench.testing.loss_steps import (
    pairs_of,
    selections,
    start_epoch,
    take_step,
    train_briefly,
    value_of,
)
from dmlbench.testing.stand_ins import all_pairs
from dmlbench.testing.stored_state import reload
from dmlbench.testing.subject import Subject
from dmlbench.testing.tensors import (
    largest,
    require_a_device_everywhere,
    require_registered,
)


def its_inputs_stay_as_they_were(subject: Subject) -> None:
    """Others use embeddings, labels, similarities and the selection after it."""
    loss = subject.make()
    start_epoch(loss)
    _, pairs = pairs_of(loss, ORDINARY)
    for name, selection in selections(loss, pairs):
        before = {what: tensor.clone() for what, tensor in _inputs(pairs, selection).items()}
        with case(name):
            backward(value_of(loss, pairs, selection), retain_graph=True)
        now = _inputs(pairs, selection)
        changed = [what for what, tensor in before.items() if not torch.equal(tensor, now[what])]
        if changed:
            raise PluginError(
                f"It changes {', '.join(changed)}, which the other terms of a sum use after it. "
                "Work on a copy: x.clone(), or masked_fill instead of masked_fill_."
            )


def _inputs(pairs: Pairs, selection: Selection | None) -> dict[str, Tensor]:
    chosen = vars(selection) if selection is not None else {}
    return shared_tensors(pairs) | {f"selection.{name}": tensor for name, tensor in chosen.items()}


def the_surroundings_stay_as_they_were(subject: Subject) -> None:
    """A loss sets no seed, nor anything else that the whole process shares."""

    def run() -> None:
        train_briefly(subject.make())

    require_untouched(run)


def it_goes_on_from_a_checkpoint_to_the_bit(subject: Subject) -> None:
    """A trial that is stopped in mid-training goes on from its checkpoint as if it never was."""
    first, second = subject.make(seed=1), subject.make(seed=2)
    train_briefly(first)
    reload(
        first,
        second,
        "Give buffers their final size at the start, and keep in another one how much of it is "
        "used.",
    )
    found = []
    for loss in (first, second):
        torch.manual_seed(4)
        steps = [take_step(loss, Batch.random(12, 4, seed=20 + step)) for step in range(3)]
        start_epoch(loss)
        steps += [take_step(loss, Batch.random(12, 4, seed=30 + step)) for step in range(3)]
        found.append((steps, saved_state(loss)))
    if not is_same(*found):
        values = [[value.item() for value, _ in steps] for steps, _ in found]
        raise PluginError(
            f"After some steps its next values are {values[0]}; those of a new instance with its "
            f"state are {values[1]}, or gradients or its state differ. Something that it learned "
            "or counted is in no parameter or buffer. Use register_buffer; what is no tensor is "
            "returned by get_extra_state and taken back by set_extra_state."
        )


def it_moves_to_another_device_as_a_whole(subject: Subject) -> None:
    """`.to(device)` moves everything a loss computes with; it works on a GPU, if there is one."""
    loss = subject.make()
    train_briefly(loss)
    require_registered(loss)
    if torch.cuda.is_available():
        with case("everything on a GPU"):
            loss = subject.make().to("cuda")
            on_gpu = ORDINARY.to("cuda")
            start_epoch(loss, on_gpu)
            _, pairs = pairs_of(loss, on_gpu)
            for name, selection in selections(loss, pairs):
                with case(name):
                    backward(value_of(loss, pairs, selection), retain_graph=True)


def it_computes_where_its_embeddings_are(subject: Subject) -> None:
    """Every tensor that a loss creates is on the device of the embeddings."""
    loss = subject.make()
    start_epoch(loss)
    _, pairs = pairs_of(loss, ORDINARY)
    for name, selection in selections(loss, pairs):
        with case(name):
            require_a_device_everywhere(partial(loss, pairs, selection))


def its_memory_grows_with_the_pairs_not_with_the_triplets(subject: Subject) -> None:
    """The largest tensor is of order B x M: twice the batch, four times the memory."""
    for classes in (2, 12):
        sizes = [_largest_of_a_step(subject, items, classes) for items in (24, 48)]
        if sizes[1] > 5 * sizes[0]:
            advice = (
                f"With {classes} classes in a batch, the largest tensor grows from {sizes[0]:,} to "
                f"{sizes[1]:,} numbers when the batch doubles: with the triplets, not with the "
                "pairs. A batch of 1,024 will not fit into memory. "
            )
            if subject.component.takes == "triplets":
                raise ShortcomingError(
                    advice + "A PairMask stands for all triplets that it spans: where you get one, "
                    "compute with an anchor's rows [M] instead of as_triplets."
                )
            raise PluginError(advice + "Compute with [B, M], or in chunks of that size.")


def _largest_of_a_step(subject: Subject, items: int, classes: int) -> int:
    loss = subject.make(num_classes=classes)
    batch = Batch.random(items, classes)
    start_epoch(loss, batch, num_classes=classes)

    def step() -> None:
        _, pairs = pairs_of(loss, batch)
        selection = None if loss.takes == "labels" else all_pairs(pairs)
        backward(value_of(loss, pairs, selection))

    return largest(step)


def what_it_adds_to_the_pairs_keeps_each_anchor_in_its_place(subject: Subject) -> None:
    """A loss with a memory adds references; self_index still points each anchor to itself."""
    if subject.component.extend is Loss.extend:
        raise NotApplicableError("It has no memory of earlier batches.")
    loss = subject.make()
    train_briefly(loss)
    for step in range(4):
        batch = Batch.random(12, 4, seed=200 + step)
        leaf, pairs = pairs_of(loss, batch)
        if not isinstance(pairs, Pairs):
            raise PluginError(f"extend returned {pairs!r}; it must return Pairs.")
        made = F.normalize(leaf) if loss.normalize else leaf
        shapes = {
            "labels": len(pairs.labels) == len(pairs.anchors) == len(leaf),
            "reference_labels": len(pairs.reference_labels) == len(pairs.references),
            "self_index": len(pairs.self_index) == len(pairs.anchors),
        }
        wrong = [name for name, fits in shapes.items() if not fits]
        if wrong or not torch.equal(pairs.anchors, made):
            raise PluginError(
                f"After extend, {' and '.join(wrong) or 'anchors'} no longer fit the batch. Keep "
                "the anchors and their labels, and add to the references only."
            )
        there = pairs.self_index >= 0
        own = pairs.references[pairs.self_index[there]]
        if not torch.equal(own, pairs.anchors[there]):
            raise PluginError(
                "After extend, self_index points to references that are not "
                "the anchors themselves: an anchor would be its own positive. Append the memory "
                "after the batch, or shift self_index."
            )
