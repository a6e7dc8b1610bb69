import pluggy

from dmlbench.contracts.hooks import Specification, hookimpl
from dmlbench.leaderboard.tables import make_tables


class SeedCount:
    @hookimpl
    def dmlbench_leaderboard_columns(self, records):
        return {"Seeds seen": str([record.trial.seed for record in records])}


class Silent:
    @hookimpl
    def dmlbench_leaderboard_columns(self):
        return None


class Broken:
    @hookimpl
    def dmlbench_leaderboard_columns(self, records):
        raise RuntimeError("out of\nluck <b>")


class Wrong:
    @hookimpl
    def dmlbench_leaderboard_columns(self, records):
        return {"number": 3}


class Listless:
    @hookimpl
    def dmlbench_leaderboard_columns(self, records):
        return ["no", "mapping"]


def with_columns(records, *plugins):
    manager = pluggy.PluginManager("dmlbench")
    manager.add_hookspecs(Specification)
    for plugin in plugins:
        manager.register(plugin(), name=plugin.__name__)
    (table,) = make_tables(records, columns=manager)
    return table


def test_a_plugin_sees_the_records_of_one_row_by_seed(record):
    table = with_columns([record(seed=1), record(seed=0), record("margin")], SeedCount)
    assert {row.label: dict(row.extra) for row in table.rows} == {
        "triplet + random": {"Seeds seen": "[0, 1]"},
        "margin + random": {"Seeds seen": "[0]"},
    }


def test_a_broken_plugin_costs_its_columns_and_no_others(record):
    table = with_columns([record(), record("margin")], Broken, SeedCount, Silent, Wrong, Listless)
    assert all(list(row.extra) == ["Seeds seen"] for row in table.rows)
    notes = [note for note in table.notes if note.startswith("Columns of")]
    assert len(notes) == 3
    assert any("of Broken are missing: RuntimeError: out of luck <b> (" in note for note in notes)
    assert "Columns of Wrong are missing: heading and text must be str, not 'number': 3." in notes
    assert any("of Listless are missing: expected a mapping" in note for note in notes)


def test_a_heading_that_is_taken_is_said(record):
    class Again(SeedCount):
        pass

    table = with_columns([record()], SeedCount, Again)
    assert any("'Seeds seen' is taken" in note for note in table.notes)


def test_a_function_will_do(record):
    (table,) = make_tables([record()], columns=lambda records: {"n": str(len(records))})
    assert dict(table.rows[0].extra) == {"n": "1"}
