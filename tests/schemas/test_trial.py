"""Identity: what makes another trial, and what does not."""

import json
import subprocess
import sys
from hashlib import sha256

import pytest
from pydantic import ValidationError

from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.trial import SEMANTICS, Part, Trial, canonical_json


def part(name: str, **fields) -> Part:
    usual = {"reference": name, "distribution": "dmlbench", "version": "1.0", "source": "abc"}
    return Part(name=name, **(usual | fields))


def make_trial(**fields) -> Trial:
    usual = {
        "dataset": part("digits"),
        "fingerprint": "0123",
        "protocol": load_protocol("small"),
        "parts": {
            "loss": part("triplet", settings={"margin": 0.2}),
            "miner": part("semi-hard"),
            "sampler": part("m-per-class"),
            "backbone": part("small-conv"),
        },
        "seed": 0,
    }
    return Trial(**(usual | fields))


def with_loss(**fields) -> Trial:
    trial = make_trial()
    loss = trial.parts["loss"].model_copy(update=fields)
    return make_trial(parts={**trial.parts, "loss": loss})


def test_the_id_is_a_hash_of_the_identity_and_nothing_else():
    trial = make_trial()
    described = {
        "semantics": SEMANTICS,
        "dataset": {"name": "digits", "distribution": "dmlbench", "source": "abc", "settings": {}},
        "fingerprint": "0123",
        "protocol": trial.protocol.identity(),
        "parts": {
            kind: {
                "name": name,
                "distribution": "dmlbench",
                "source": "abc",
                "settings": {"margin": 0.2} if kind == "loss" else {},
            }
            for kind, name in (
                ("loss", "triplet"),
                ("miner", "semi-hard"),
                ("sampler", "m-per-class"),
                ("backbone", "small-conv"),
            )
        },
        "seed": 0,
    }
    text = json.dumps(described, sort_keys=True, separators=(",", ":"))
    assert trial.id == sha256(text.encode()).hexdigest()[:16]


def test_equal_requests_are_one_trial_in_any_process_and_order():
    trial = make_trial()
    turned = make_trial(parts=dict(reversed(trial.parts.items())))
    assert turned.id == trial.id == make_trial().id
    code = (
        "import sys; from dmlbench.schemas.trial import Trial\n"
        "print(Trial.model_validate_json(sys.stdin.read()).id)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        input=trial.model_dump_json(),
        env={"PYTHONHASHSEED": "5"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert output.strip() == trial.id


@pytest.mark.parametrize(
    "other",
    [
        make_trial(seed=1),
        make_trial(fingerprint="0124"),
        make_trial(dataset=part("mnist")),
        make_trial(dataset=part("digits", settings={"split": 2})),
        make_trial(protocol=load_protocol("small").change("length.epochs", "9")),
        with_loss(name="margin"),
        with_loss(settings={"margin": 0.3}),
        with_loss(source="abd"),
        with_loss(distribution="elsewhere"),
        make_trial(parts={"baseline": part("pca")}),
    ],
    ids=str,
)
def test_whatever_decides_the_figures_makes_another_trial(other):
    assert other.id != make_trial().id


def test_versions_references_and_texts_make_no_other_trial():
    assert with_loss(version="2.0", reference="dmlbench:triplet").id == make_trial().id
    renamed = load_protocol("small").model_copy(
        update={"name": "mine", "description": "", "source": ""}
    )
    assert make_trial(protocol=renamed).id == make_trial().id
    assert with_loss(changed={"margin": 0.2}).id == make_trial().id


def test_trials_that_differ_in_the_seed_alone_share_their_row():
    assert make_trial(seed=1).row == make_trial().row
    assert with_loss(settings={"margin": 0.3}).row != make_trial().row


def test_names_for_people():
    trial = with_loss(settings={"margin": 0.3}, changed={"margin": 0.3})
    assert str(trial) == "digits / triplet (margin=0.3) + semi-hard / seed 0"
    assert make_trial(parts={"baseline": part("pca")}).label == "pca"


def test_a_trial_is_equal_to_what_its_json_holds():
    trial = make_trial()
    again = Trial.model_validate_json(trial.model_dump_json())
    assert again == trial
    assert again.id == trial.id


def test_canonical_json_is_one_text_for_one_value():
    assert canonical_json({"b": [1, 2.0], "a": None}) == '{"a":null,"b":[1,2.0]}'
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})


@pytest.mark.parametrize("field", ["settings", "changed", "files", "paths"])
@pytest.mark.parametrize("wrong", [7, "text", [["a"], 1]])
def test_a_part_whose_table_is_none_is_refused_by_its_name(field, wrong):
    values = part("triplet").model_dump() | {field: wrong}
    with pytest.raises(ValidationError, match=field):
        Part.model_validate(values)
