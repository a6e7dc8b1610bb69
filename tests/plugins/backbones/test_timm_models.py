"""Networks of timm: their names, their image formats, and random starts."""

import pytest
import torch
from support.networks import built, features
from torch import nn

from dmlbench import ConfigError, ImageFormat
from dmlbench_backbones.timm_models import TimmModel


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnet500", "resnet50"), ("resnet18.a1_in2k", "resnet18.a1_in1k"), ("resnt18", "resnet18")],
)
@pytest.mark.parametrize("ask", [TimmModel.image_format, lambda model: model.build((3, 64, 64))])
def test_an_unknown_timm_name_is_refused_with_the_nearest_ones(name, near, ask):
    with pytest.raises(ConfigError, match=f"no network '{name}'. Near it: .*{near}"):
        ask(TimmModel(name))


@pytest.mark.parametrize("name", ["", "resnet18.", "timm/resnet18", "hf-hub:timm/resnet18"])
def test_a_malformed_timm_name_is_refused(name):
    with pytest.raises(ConfigError, match="no network"):
        TimmModel(name).image_format()


def test_pretrained_networks_want_the_colours_they_were_trained_on():
    assert TimmModel("resnet50.a1_in1k").image_format() == ImageFormat(
        3, None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )
    lite = TimmModel("tf_efficientnet_lite0.in1k", weights="/any/path").image_format()
    assert lite == ImageFormat(3, None, (0.5,) * 3, (0.5,) * 3)


def test_only_networks_that_need_it_fix_the_image_size():
    assert TimmModel("vit_small_patch16_224.dino").image_format().size == 224
    assert TimmModel("test_vit").image_format().size == 160
    assert TimmModel("resnet50").image_format().size is None


def test_a_random_start_takes_images_as_the_dataset_has_them():
    assert TimmModel("resnet50", weights="none").image_format() == ImageFormat()
    assert TimmModel("test_vit", weights="none").image_format() == ImageFormat(size=160)


@pytest.mark.parametrize(
    ("name", "weights", "shape"),
    [
        ("test_vit", "none", (3, 64, 64)),
        ("test_vit", "none", (3, 160, 64)),
        ("test_resnet", "default", (1, 64, 64)),
        ("test_resnet", "none", (12,)),
    ],
)
def test_images_that_the_network_cannot_take_are_refused(name, weights, shape):
    with pytest.raises(ConfigError, match=r"takes images of shape \["):
        TimmModel(name, weights=weights).build(shape)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("test_resnet", (1, 32, 32)),
        ("test_resnet", (3, 40, 24)),
        ("test_vit", (1, 160, 160)),
        ("lcnet_050", (3, 32, 32)),  # a layer between pooling and classifier: 256 to 1280
    ],
)
def test_random_timm_networks_give_as_many_features_as_they_say(name, shape):
    network = built(TimmModel(name, weights="none"), shape)
    assert features(network, 2, *shape).shape == (2, network.num_features)


def test_a_random_start_follows_the_seed():
    starts = [built(TimmModel("test_resnet", weights="none"), (3, 32, 32), s) for s in (0, 0, 1)]
    one, again, other = (features(network, 2, 3, 32, 32) for network in starts)
    assert torch.equal(one, again)
    assert not torch.allclose(one, other)


def test_networks_that_give_a_sequence_are_refused(monkeypatch):
    import timm

    monkeypatch.setattr(timm, "create_model", lambda *_, **__: nn.Identity())
    with pytest.raises(ConfigError, match="sequence of vectors"):
        TimmModel("test_resnet", weights="none").build((3, 32, 32))
