"""What aliases say of components that were edited and renamed, several times over."""

import json

import pytest
from pydantic import ValidationError
from support.made_records import part, record

from dmlbench.components.source_aliases import Aliases, Origin, as_first, as_today, loadable
from dmlbench.leaderboard.tables import make_tables
from dmlbench.schemas.record import Record

A, B, C = (letter * 64 for letter in "abc")
MINE = Origin("loss", "old", "mine", A)
YOURS = Origin("loss", "new", "yours", B)
HERS = Origin("loss", "new", "hers", C)


@pytest.mark.parametrize(
    ("aliases", "origin", "first"),
    [
        (Aliases({}, {YOURS: MINE}), YOURS, MINE),
        (Aliases({C: B}, {YOURS: MINE}), YOURS._replace(source=C), MINE),
        (Aliases({}, {YOURS: MINE, HERS: YOURS}), HERS, MINE),
        (Aliases({B: A}, {YOURS._replace(source=A): MINE}), YOURS, MINE),
        (Aliases({}, {YOURS: MINE, MINE: YOURS}), MINE._replace(source=C), MINE._replace(source=C)),
        (Aliases({}, {YOURS: MINE}), YOURS._replace(name="yours/2"), MINE._replace(name="mine/2")),
    ],
    ids=["renamed", "edited later", "renamed twice", "edited, renamed", "reused name", "family"],
)
def test_rows_are_kept_under_what_a_component_was_first(aliases, origin, first):
    assert aliases.first(origin) == first


@pytest.mark.parametrize("field", ["kind", "distribution", "name", "source"])
def test_an_alias_is_of_one_component_and_no_other_in_its_file(field):
    other = YOURS._replace(**{field: "other"})
    assert Aliases({}, {YOURS: MINE}).first(other) == other


def test_renamings_in_a_circle_come_to_an_end():
    aliases = Aliases({A: B, B: A}, {YOURS: MINE, MINE: YOURS})
    assert aliases.first_source(A) in (A, B)
    assert aliases.first(YOURS) in (MINE, YOURS)


def test_old_and_new_records_are_one_row_under_the_last_name_with_the_first_ids():
    aliases = Aliases({}, {YOURS: MINE, HERS: YOURS})
    made = [
        record(part(one.name, distribution=one.distribution, source=one.source), None, seed=seed)
        for seed, one in enumerate((MINE, YOURS, HERS))
    ]
    assert len(make_tables(made)[0].rows) == 3
    kept = [as_first(one, aliases) for one in made]
    (row,) = make_tables(as_today(one, aliases) for one in kept)[0].rows
    assert (row.label, row.id) == ("hers", made[0].trial.row)
    assert [one.id for one in row.records] == [one.id for one in kept]
    loss = row.trial.parts["loss"]
    assert (loss.reference, loss.distribution) == ("hers", "new")
    assert loadable(made[0], aliases).trial.parts["loss"].reference == "hers"
    assert loadable(made[0], aliases).to_json().replace("hers", "mine") == made[0].to_json()


def test_no_file_can_give_a_component_the_id_of_another():
    text = json.loads(record("triplet", None).to_json())
    text["trial"]["parts"]["loss"]["identified_as"] = {"name": "contrastive"}
    with pytest.raises(ValidationError, match="identified_as"):
        Record.model_validate_json(json.dumps(text))
