"""Settings aimed at one of several losses, miners or baselines of a run."""

import pytest

from dmlbench import ConfigError


def changed(plan, kind="loss"):
    return {t.parts[kind].name: t.parts[kind].changed for t in plan.trials if kind in t.parts}


def test_a_setting_is_aimed_at_one_of_several_losses(plan_of):
    losses = ("triplet", "contrastive", "margin")
    plan = plan_of(losses=losses, settings={"loss.triplet.margin": "0.3"})
    assert changed(plan) == {"triplet": {"margin": 0.3}, "contrastive": {}, "margin": {}}


def test_an_aimed_setting_makes_the_same_trial_as_one_for_a_single_loss(plan_of, trial_of):
    alone = trial_of(losses=("triplet",), settings={"loss.margin": "0.3"})
    settings = {"loss.triplet.margin": "0.3", "loss.contrastive.neg_margin": "0.8"}
    several = plan_of(losses=("contrastive", "triplet"), settings=settings).trials
    assert several[1] == alone
    assert several[0].parts["loss"].changed == {"neg_margin": 0.8}


def test_one_with_a_name_is_stronger_than_one_for_all(plan_of):
    settings = {"loss.triplet.margin": "0.3", "loss.margin": "0.4"}
    plan = plan_of(losses=("triplet", "margin"), settings=settings)
    assert changed(plan) == {"triplet": {"margin": 0.3}, "margin": {"margin": 0.4}}


def test_it_reaches_a_term_of_a_sum_and_the_loss_inside_another(plan_of):
    losses = ("contrastive", "xbm/contrastive", "contrastive+0.5*center")
    plan = plan_of(losses=losses, settings={"loss.contrastive.neg_margin": "0.8"})
    inside = {"contrastive.neg_margin": 0.8}
    assert list(changed(plan).values()) == [{"neg_margin": 0.8}, inside, inside]
    plan = plan_of(losses=losses, settings={"loss.xbm.size": "64"})
    assert list(changed(plan).values()) == [{}, {"size": 64}, {}]


def test_it_reaches_one_of_several_miners_and_baselines(plan_of):
    plan = plan_of(
        losses=("contrastive",),
        miners=("pair-margin", "all-pairs"),
        baselines=("pca", "pixels"),
        settings={"miner.pair-margin.pos_margin": "0.3", "baseline.pca.whiten": "true"},
    )
    assert changed(plan, "miner") == {"pair-margin": {"pos_margin": 0.3}, "all-pairs": {}}
    assert changed(plan, "baseline") == {"pca": {"whiten": True}, "pixels": {}}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"loss.tripet.margin": "0.3"}, r"loss\.tripet\.margin"),
        ({"loss.margin.margin": "0.3"}, r"loss\.margin\.margin"),
        ({"loss.triplet.margn": "0.3"}, "'margn'"),
        ({"loss.margin": "0.3"}, "Contrastive has no hyper-parameter 'margin'"),
    ],
)
def test_what_is_aimed_at_nothing_is_refused(plan_of, settings, words):
    with pytest.raises(ConfigError, match=words):
        plan_of(losses=("triplet", "contrastive"), settings=settings)
