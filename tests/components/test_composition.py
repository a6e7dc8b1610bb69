"""References to sums of losses and to losses around others, from the text to the objects."""

import pytest

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import Term, compose, parse, qualify, spell
from dmlbench.errors import ConfigError

AROUND = """
from dmlbench import ConfigError, Loss

class Memory(Loss):
    "A memory around a loss."
    takes, default_miner = "pairs", "all-pairs"

    def __init__(self, loss: Loss, *, size: int = 8):
        super().__init__()
        self.inner, self.size = loss, size

    def forward(self, pairs, selection):
        return self.inner(pairs, selection)
"""


@pytest.fixture
def catalogue(install):
    install("around", AROUND, {"dmlbench.losses": {"memory": "around:Memory"}})
    return Catalogue.discover()


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("triplet", [(1, "triplet")]),
        ("triplet+center", [(1, "triplet"), (1, "center")]),
        (" triplet + 0.5 * center ", [(1, "triplet"), (0.5, "center")]),
        ("2*triplet", [(2, "triplet")]),
        ("a+1e-3*xbm/b+3.5E-2*pkg:c", [(1, "a"), (0.001, "xbm/b"), (0.035, "pkg:c")]),
        ("./my file.py:Loss+0.1*b", [(1, "./my file.py:Loss"), (0.1, "b")]),
        ("0.1234567*a+1.0000001*b", [(0.1234567, "a"), (1.0000001, "b")]),
        ("2000000*a+1e22*b", [(2e6, "a"), (1e22, "b")]),
    ],
)
def test_a_sum_is_read_term_by_term_and_spelt_again(text, terms):
    assert parse(text) == tuple(Term(*term) for term in terms)
    assert parse(spell(parse(text))) == parse(text)


def test_weights_that_differ_in_any_digit_are_spelt_differently(catalogue):
    one, other = (
        compose(catalogue, "loss", f"triplet+{weight}*contrastive")
        for weight in ("0.1234567", "0.1234568")
    )
    assert one.name == "triplet+0.1234567*contrastive"
    assert other.name == "triplet+0.1234568*contrastive"
    assert spell(parse("a+0.03125*b")) == "a+0.03125*b"
    assert spell(parse("a+5e-3*b")) == "a+0.005*b"


@pytest.mark.parametrize("text", ["", "+a", "a+", "a++b", "0*a", "1.2.3*a", "1e999*a"])
def test_what_is_no_sum_is_refused(text):
    with pytest.raises(ConfigError, match="is no sum"):
        parse(text)


def test_settings_reach_each_term(catalogue):
    made = compose(catalogue, "loss", "triplet+0.5*contrastive")
    assert made.name == "triplet+0.5*contrastive"
    assert made.distribution == "dmlbench"
    values = made.resolve("loss", {"triplet.margin": "0.3", "contrastive.neg_margin": 0.9})
    assert values == {
        "triplet.margin": 0.3,
        "contrastive.pos_margin": 0.0,
        "contrastive.neg_margin": 0.9,
    }
    triplet, contrastive = made.make("loss", values)
    assert (triplet.margin, contrastive.neg_margin) == (0.3, 0.9)
    assert [each.weight for each in made.ingredients] == [1, 0.5]


def test_a_plain_loss_has_its_settings_without_a_name(catalogue):
    made = compose(catalogue, "loss", "triplet")
    assert made.resolve("loss", {"margin": "0.3"}) == {"margin": 0.3}
    assert made.name == "triplet"
    assert not made.is_sum
    assert compose(catalogue, "loss", "2*triplet").is_sum


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("margin", "name the term: loss.triplet.NAME"),
        ("triplt.margin", "Did you mean 'triplet'"),
        ("triplet.margn", "Did you mean 'margin'"),
        ("memory.contrastive.pos", "pos_margin"),
        ("memory.contrastive.size", "no hyper-parameter 'size'"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_way_out(catalogue, key, text):
    made = compose(catalogue, "loss", "triplet+0.5*memory/contrastive")
    with pytest.raises(ConfigError, match=text):
        made.resolve("loss", {key: "0.3"})


def test_a_value_out_of_range_is_named_in_full(catalogue):
    made = compose(catalogue, "loss", "triplet+contrastive")
    with pytest.raises(ConfigError, match=r"loss\.contrastive\.neg_margin=7"):
        made.resolve("loss", {"contrastive.neg_margin": "7"})


def test_a_loss_around_another_has_both_ones_settings(catalogue):
    made = compose(catalogue, "loss", "memory/contrastive")
    assert made.name == "memory/contrastive"
    assert made.distribution == "around, dmlbench"
    values = made.resolve("loss", {"size": "4", "contrastive.neg_margin": "0.7"})
    assert values == {"size": 4, "contrastive.pos_margin": 0.0, "contrastive.neg_margin": 0.7}
    (memory,) = made.make("loss", values)
    assert memory.size == 4
    assert memory.inner.neg_margin == 0.7


def test_a_loss_around_another_in_a_sum(catalogue):
    made = compose(catalogue, "loss", "0.5*memory/contrastive+triplet")
    values = made.resolve("loss", {"memory.size": 5, "memory.contrastive.pos_margin": 0.1})
    memory, triplet = made.make("loss", values)
    assert (memory.size, memory.inner.pos_margin, triplet.margin) == (5, 0.1, 0.2)


def test_what_is_mined_is_the_loss_inside(catalogue):
    made = compose(catalogue, "loss", "memory/triplet+proxy-anchor+contrastive")
    assert [each.component.takes for each in made.losses_with_miner] == ["triplets", "pairs"]


def test_what_is_injected_reaches_each_term_and_each_inside(catalogue):
    made = compose(catalogue, "loss", "memory/proxy-anchor+arcface")
    sizes = {"num_classes": 3, "embedding_dim": 2}
    memory, arcface = made.make("loss", made.resolve("loss", {}), **sizes)
    assert memory.inner.proxies.shape == (3, 2)
    assert arcface.weight.shape == (3, 2)


def test_a_family_without_its_argument_is_refused(catalogue):
    with pytest.raises(ConfigError, match="memory/LOSS"):
        compose(catalogue, "loss", "memory")


def test_a_loss_named_twice_is_refused(catalogue):
    with pytest.raises(ConfigError, match="names triplet twice"):
        compose(catalogue, "loss", "triplet+0.5*triplet")


def test_a_miner_named_twice_has_the_same_settings_in_both_places(catalogue):
    made = compose(catalogue, "miner", "pair-margin+semi-hard+pair-margin")
    values = made.resolve("miner", {"pair-margin.neg_margin": "0.3"})
    assert values["pair-margin.neg_margin"] == 0.3
    first, _, last = made.make("miner", values)
    assert (first.neg_margin, last.neg_margin) == (0.3, 0.3)
    for wrong in ("pair-margin.neg_margn", "neg_margin"):
        with pytest.raises(ConfigError, match=wrong):
            made.resolve("miner", {wrong: "0.3"})


def test_miners_of_two_packages_with_one_name_are_refused(install):
    source = "from dmlbench import Miner\nclass Other(Miner):\n makes = 'pairs'\n"
    source += " def select(self, pairs): raise NotImplementedError\n"
    install("mine", source, {"dmlbench.miners": {"all-pairs": "mine:Other"}})
    with pytest.raises(ConfigError, match="names all-pairs twice; they are two"):
        compose(Catalogue.discover(), "miner", "dmlbench:all-pairs+mine:all-pairs")


def test_an_unknown_term_is_refused(catalogue):
    with pytest.raises(ConfigError, match="Did you mean 'contrastive'"):
        compose(catalogue, "loss", "triplet+contrastiv")
    with pytest.raises(ConfigError, match="Did you mean 'contrastive'"):
        compose(catalogue, "loss", "memory/contrastiv")


def test_an_edit_of_any_term_is_another_source(catalogue):
    sources = {
        compose(catalogue, "loss", reference).source()
        for reference in ("triplet", "contrastive", "triplet+contrastive", "memory/triplet")
    }
    assert len(sources) == 4
    one, other = (compose(catalogue, "loss", f"triplet+{w}*contrastive") for w in (1, 2))
    assert one.source() == other.source()
    assert one.name != other.name


def test_names_are_meant_as_the_package_means_them(install):
    install("mine", AROUND, {"dmlbench.losses": {"triplet": "mine:Memory"}})
    catalogue = Catalogue.discover()
    assert qualify(catalogue, "loss", "xbm/triplet+0.1*arcface", "dmlbench") == (
        "xbm/dmlbench:triplet+0.1*arcface"
    )
    assert qualify(catalogue, "loss", "triplet", "mine") == "mine:triplet"
