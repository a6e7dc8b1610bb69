"""Writes ``protocols.md`` from the files of the protocols.

python docs/make_protocols.py
"""

from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

from dmlbench.cli.show_protocol import value_text
from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.protocol_file import ProtocolFile, read_protocol_file
from dmlbench.schemas.shipped_protocols import protocol_names

PAGE = Path(__file__).with_name("protocols.md")

HEAD = """\
<!-- Made by docs/make_protocols.py from the protocols' own files; a test compares them. -->

# Protocols

A protocol is everything that is held equal for all losses. These ship with dmlbench; what holds
for all of them is in [how results are measured](protocol.md#training), and you can
[write your own](suites.md#a-protocol). `dmlbench show protocol NAME` prints each field with its
value, what it means and where it comes from; with `--dataset NAME`, the values for one dataset.
"""

FOLLOWING = """\
## Those that follow a source

What is not as in the source ("there"), which values single datasets have, and where values come
from. We ran none of these at full size, and a result made with one is not a reproduction of the
paper's.
"""

_WORDS = {"paper": "From the paper", "code": "From the code", "ours": "Our choice"}


def page() -> str:
    """Return the whole page."""
    files = [read_protocol_file(name) for name in protocol_names()]
    rows = [[f"`{file.base.name}`", *_summary(file.base)] for file in files]
    headings = ["protocol", "what it is", "network", "training", "epoch that counts"]
    overview = tabulate(rows, headings, tablefmt="pipe", disable_numparse=True)
    sections = [_section(file) for file in files if not is_our_own(file.base)]
    parts = [HEAD, overview, FOLLOWING, *sections]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def is_our_own(protocol: Protocol) -> bool:
    """Return whether a protocol follows no source but dmlbench."""
    return protocol.source.startswith("dmlbench's own")


def _summary(protocol: Protocol) -> Iterator[str]:
    yield protocol.description
    settings = [f"{key} = {value}" for key, value in protocol.backbone_settings.items()]
    network = [f"`{protocol.backbone}`", f"{protocol.embedding_dim} dimensions", *settings]
    yield ", ".join(network + (["all but the head frozen"] if protocol.frozen else []))
    steps = protocol.length.steps_per_epoch
    batches = "a pass in batches" if steps == "pass" else f"{steps} batches"
    yield f"{protocol.length.epochs} epochs of {batches} of {protocol.batch_size}"
    yield _selection(protocol)


def _selection(protocol: Protocol) -> str:
    choices = protocol.validation
    if not choices.class_fraction:
        return "the last"
    text = f"best on {100 * choices.class_fraction:g} % of {choices.min_classes} or more classes"
    if choices.every > 1:
        text += f", every {choices.every} epochs"
    return text + (", then trained on all" if choices.then == "retrain-all" else "")


def _section(file: ProtocolFile) -> str:
    protocol = file.base
    lines = [f"### `{protocol.name}`", "", f"{protocol.description} Source: {protocol.source}.", ""]
    lines += [f"- {sentence}" for sentence in file.differs]
    rows = []
    for dataset in file.tables:
        changes = (
            f"`{key} = {value_text(value)}` ({file.origin(key, dataset)})"
            for key, value in file.differences(dataset).items()
        )
        rows.append([f"`{dataset}`", ", ".join(changes)])
    if rows:
        lines += ["", tabulate(rows, ["dataset", "has"], tablefmt="pipe", disable_numparse=True)]
    if file.origins:
        lines += ["", "Where values come from, a field going before its section:", ""]
        lines += _origins(file)
    return "\n".join(lines)


def _origins(file: ProtocolFile) -> Iterator[str]:
    """Yield a line for each origin with the fields and sections that the file states it of."""
    found: dict[str, list[str]] = {}
    for key, origin in file.origins.items():
        found.setdefault(origin, []).append(f"`{key}`")
    order = list(_WORDS)
    for origin in sorted(found, key=lambda text: (order.index(_word(text)), text)):
        word = _word(origin)
        rest = origin.removeprefix(word).lstrip(":, ")
        yield f"- {_WORDS[word]}{f' ({rest})' if rest else ''}: {', '.join(found[origin])}."
    yield "- Our choice: everything else."


def _word(origin: str) -> str:
    return next(word for word in _WORDS if origin.startswith(word))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
