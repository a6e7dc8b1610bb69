"""Which pages the site has, and their paths."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.record import Record
from dmlbench.storage.atomic import slug

INDEX = "index.html"


@dataclass(frozen=True)
class Method:
    """A loss or a baseline with its rows in all tables."""

    kind: str
    """``loss`` or ``baseline``."""
    name: str
    distribution: str
    rows: tuple[tuple[Table, Row], ...]

    @property
    def title(self) -> str:
        """Return the name as pages show it."""
        return plain(self.name)


@dataclass(frozen=True)
class Contents:
    """The pages, with paths in the site's folder; all but the index are one folder down."""

    tables: tuple[Table, ...]
    methods: tuple[Method, ...]
    stems: Mapping[str, str]
    """Path without suffix by the id of a table, or of a method."""

    def table(self, table: Table, suffix: str = ".html") -> str:
        """Return the path of the table's page, or of one of its downloads."""
        return self.stems[table.id] + suffix

    def method(self, row: Row) -> str:
        """Return the path of the page of the row's loss or baseline."""
        return self.stems[_id(*_key(row))] + ".html"

    def method_page(self, method: Method) -> str:
        """Return the path of the method's page."""
        return self.stems[_id(method.kind, method.name, method.distribution)] + ".html"

    def trial(self, record: Record) -> str:
        """Return the path of the page of one trial."""
        return f"trials/{record.trial.id}.html"


def sitemap(tables: Sequence[Table]) -> Contents:
    """Return the pages that a site of `tables` has."""
    rows: dict[tuple[str, str, str], list[tuple[Table, Row]]] = {}
    for table in tables:
        for row in table.rows:
            rows.setdefault(_key(row), []).append((table, row))
    methods = [Method(*key, tuple(found)) for key, found in sorted(rows.items(), key=_place)]
    stems = _stems("tables", ((f"{t.dataset}-{t.protocol.name}", t.id) for t in tables))
    stems |= _stems("methods", ((f"{m.kind}-{m.name}", _id(*_key(m.rows[0][1]))) for m in methods))
    return Contents(tuple(tables), tuple(methods), stems)


def _place(item: tuple[tuple[str, str, str], object]) -> tuple[bool, str, str]:
    kind, name, distribution = item[0]
    return kind == "baseline", name, distribution


def _key(row: Row) -> tuple[str, str, str]:
    """Return kind, name and distribution of the row's loss or baseline."""
    kind = "baseline" if row.is_baseline else "loss"
    part = row.trial.parts.get(kind)
    return (kind, part.name, part.distribution) if part else (kind, row.names[kind], "")


def _id(kind: str, name: str, distribution: str) -> str:
    return sha256("\0".join((kind, name, distribution)).encode()).hexdigest()[:16]


def _stems(folder: str, titled: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return a path for each id: its title, with the id where that is not unique."""
    slugs = {key: slug(title) for title, key in titled}
    taken = Counter(name.lower() for name in slugs.values())
    full = {key: f"{name}-{key}" for key, name in slugs.items()}
    short = {key: name if taken[name.lower()] == 1 else full[key] for key, name in slugs.items()}
    own = len({name.lower() for name in short.values()}) == len(short)
    return {key: f"{folder}/{name}" for key, name in (short if own else full).items()}
