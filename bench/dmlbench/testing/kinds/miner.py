"""What a miner must choose, whatever the batch.

Every public function here is a check.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from dmlbench.compute.process_state import require_untouched
from dmlbench.contracts.components import Miner
from dmlbench.contracts.pairs import PairMask, Pairs, Selection, Triplets
from dmlbench.contracts.saved_state import saved_state
from dmlbench.errors import ConfigError, PluginError
from dmlbench.storage.trees import is_same
from dmlbench.testing.batches import ODD, ORDINARY, Batch, shared_tensors
from dmlbench.testing.findings import case
from dmlbench.testing.stored_state import reload
from dmlbench.testing.subject import Subject
from dmlbench.testing.tensors import describe, largest, require_a_device_everywhere


def it_returns_the_kind_of_selection_that_it_states(subject: Subject) -> None:
    """`makes = "pairs"` gives masks [B, M], `makes = "triplets"` three index vectors [T]."""
    _require_on_every_batch(subject, _require_form)


def it_chooses_true_positives_and_true_negatives_only(subject: Subject) -> None:
    """Positives are of the anchor's class and not the anchor itself; negatives of another class."""
    _require_on_every_batch(subject, _require_form, _require_correct)


def the_ends_of_its_search_spaces_work(subject: Subject) -> None:
    """It chooses correctly with any hyper-parameter value that its search space allows."""
    for setting, variant in subject.at_the_ends():
        with case(setting):
            _require_on_every_batch(variant, _require_form, _require_correct)


def embeddings_of_any_length_are_mined_or_refused(subject: Subject) -> None:
    """A loss may train on embeddings of any length; a miner that needs unit length says so."""
    pairs = Pairs(3 * ORDINARY.embeddings, ORDINARY.labels, normalized=False)
    with case("embeddings that are not of length 1"):
        try:
            selection = subject.make().select(pairs)
        except ConfigError:
            return
        _require_form(subject.component, pairs, selection)
        _require_correct(subject.component, pairs, selection)


def the_same_seed_gives_the_same_selection(subject: Subject) -> None:
    """A trial repeats: randomness comes from torch's global generator alone."""
    found = []
    for _ in range(2):
        pairs, miner = _pairs_within(ORDINARY), subject.make(seed=3)
        found.append([vars(_select(miner, pairs)) for _ in range(2)])
    same = all(
        torch.equal(one[name], other[name])
        for one, other in zip(*found, strict=True)
        for name in one
    )
    if not same:
        raise PluginError(
            "Created and called twice with the same seed, it chooses differently. Draw random "
            "numbers from torch's global generator."
        )


def it_goes_on_from_a_checkpoint_to_the_bit(subject: Subject) -> None:
    """A trial that is stopped in mid-training goes on from its checkpoint as if it never was."""
    first, second = subject.make(seed=1), subject.make(seed=2)
    for step in range(5):
        _select(first, _pairs_within(Batch.random(12, 4, seed=10 + step)))
    reload(first, second, "Let load_state_dict take what state_dict returns.")
    found = []
    for miner in (first, second):
        torch.manual_seed(4)
        chosen = [
            vars(_select(miner, _pairs_within(Batch.random(12, 4, seed=20 + step))))
            for step in range(5)
        ]
        found.append((chosen, saved_state(miner)))
    if not is_same(*found):
        raise PluginError(
            "After some steps, a new instance with its state chooses differently. What it "
            "remembers is to be returned by a method state_dict(), as a dictionary of tensors, "
            "numbers, texts or lists, and taken back by load_state_dict(state)."
        )


def it_leaves_the_pairs_as_they_were(subject: Subject) -> None:
    """The loss uses the same similarities and distances after it."""
    pairs = _with_memory(requires_grad=True)
    before = {name: tensor.clone() for name, tensor in shared_tensors(pairs).items()}
    _select(subject.make(), pairs)
    now = shared_tensors(pairs)
    changed = [name for name, tensor in before.items() if not torch.equal(tensor, now[name])]
    if changed:
        raise PluginError(
            f"It changes {' and '.join(changed)}, which the loss uses after it. Work "
            "on a copy: masked_fill instead of masked_fill_."
        )
    if not pairs.similarity.requires_grad:
        raise PluginError(
            "It removes the gradient of pairs.similarity, which the loss needs. Use detach() in "
            "place of detach_()."
        )


def the_surroundings_stay_as_they_were(subject: Subject) -> None:
    """A miner sets no seed, nor anything else that the whole process shares."""
    require_untouched(lambda: _select(subject.make(), _pairs_within(ORDINARY)))


def it_computes_where_its_embeddings_are(subject: Subject) -> None:
    """Every tensor that a miner creates is on the device of the embeddings."""
    miner, pairs = subject.make(), _pairs_within(ORDINARY)
    require_a_device_everywhere(lambda: _select(miner, pairs))
    if torch.cuda.is_available():
        with case("everything on a GPU"):
            on_gpu = _pairs_within(ORDINARY.to("cuda"))
            _require_correct(subject.component, on_gpu, _select(miner, on_gpu))


def its_memory_grows_with_the_pairs_not_with_the_triplets(subject: Subject) -> None:
    """The largest tensor is of order B x M, or of the size of the selection."""
    for classes in (2, 12):
        sizes, chosen = [], 0
        for items in (24, 48):
            miner, batch = subject.make(), Batch.random(items, classes)
            sizes.append(largest(partial(_select, miner, _pairs_within(batch))))
            selection = _select(miner, _pairs_within(batch))
            chosen = sum(tensor.numel() for tensor in vars(selection).values())
        if sizes[1] > 5 * max(sizes[0], chosen):
            raise PluginError(
                f"With {classes} classes in a batch, the largest tensor grows from {sizes[0]:,} to "
                f"{sizes[1]:,} numbers when the batch doubles, for {chosen:,} numbers in the "
                "selection. A batch of 1,024 will not fit into memory. Compute with [B, M], or in "
                "chunks of that size."
            )


def _batches() -> Iterator[tuple[str, Pairs]]:
    yield "an ordinary batch", _pairs_within(ORDINARY)
    for name, batch in ODD.items():
        yield f"the batch {name!r}", _pairs_within(batch)
    yield "more references than anchors", _with_memory()
    memory = Batch.random(15, 5, seed=4)
    nowhere = torch.full((len(ORDINARY.labels),), -1)
    anchors = F.normalize(ORDINARY.embeddings)
    references = F.normalize(memory.embeddings)
    yield (
        "references from a memory alone",
        Pairs(anchors, ORDINARY.labels, references, memory.labels, nowhere),
    )


def _pairs_within(batch: Batch) -> Pairs:
    return Pairs(F.normalize(batch.embeddings), batch.labels)


def _with_memory(*, requires_grad: bool = False) -> Pairs:
    """Return a batch's pairs with a memory before it, so that no anchor i is reference i."""
    memory = Batch.random(15, 5, seed=4)
    anchors = F.normalize(ORDINARY.embeddings).requires_grad_(requires_grad)
    return Pairs(
        anchors,
        ORDINARY.labels,
        torch.cat([F.normalize(memory.embeddings), anchors]),
        torch.cat([memory.labels, ORDINARY.labels]),
        torch.arange(len(anchors)) + len(memory.labels),
    )


def _select(miner: Miner, pairs: Pairs) -> Selection:
    with torch.no_grad():
        return miner.select(pairs)


def _require_on_every_batch(subject: Subject, *requirements: "_Requirement") -> None:
    for name, pairs in _batches():
        with case(name):
            selection = _select(subject.make(), pairs)
            for require in requirements:
                require(subject.component, pairs, selection)


_Requirement = Callable[[type[Miner], Pairs, Selection], None]


def _require_form(component: type[Miner], pairs: Pairs, selection: Selection) -> None:
    """Check the type, the shapes and the ranges of a selection."""
    wanted = PairMask if component.makes == "pairs" else Triplets
    if not isinstance(selection, wanted):
        raise PluginError(
            f"select returned {type(selection).__name__}; a miner that makes {component.makes} "
            f"returns {wanted.__name__}."
        )
    for name, tensor in vars(selection).items():
        seen = f"{name} is {describe(tensor)}"
        if isinstance(selection, PairMask):
            if not _is(tensor, torch.bool, pairs.positive.shape):
                raise PluginError(
                    f"{seen}; a mask is a bool tensor of shape {[*pairs.positive.shape]}: anchors "
                    "by references, which may be more than the batch."
                )
        elif not _is(tensor, torch.int64, selection.anchor.shape) or tensor.ndim != 1:
            raise PluginError(
                f"{seen}; the three indices must be int64 tensors of the same shape [T], [0] where "
                "there is no triplet."
            )
        elif len(tensor):
            size = len(pairs) if name == "anchor" else len(pairs.references)
            if not 0 <= int(tensor.min()) <= int(tensor.max()) < size:
                raise PluginError(
                    f"{name} has indices from {int(tensor.min())} to {int(tensor.max())}, but "
                    f"there are {size} items. Anchors are indices into the batch, positives and "
                    "negatives into the references."
                )


def _is(tensor: object, dtype: torch.dtype, shape: torch.Size) -> bool:
    return isinstance(tensor, Tensor) and tensor.dtype == dtype and tensor.shape == shape


def _require_correct(component: type[Miner], pairs: Pairs, selection: Selection) -> None:
    """Check that chosen positives are positives, and chosen negatives are negatives."""
    for name, true in (("positive", pairs.positive), ("negative", pairs.negative)):
        chosen = getattr(selection, name)
        if isinstance(selection, Triplets):
            wrong = int((~true[selection.anchor, chosen]).sum())
        else:
            wrong = int((chosen & ~true).sum())
        if wrong:
            itself = ", which excludes the anchor itself" if name == "positive" else ""
            raise PluginError(
                f"{wrong} chosen {name}s are not {name}s. Choose within pairs.{name}{itself}, and "
                "skip an anchor that has none: an argmax over nothing is 0."
            )
