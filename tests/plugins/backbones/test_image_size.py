"""Networks that take one size of images, at another one."""

import pytest
import torch
import torch.nn.functional as F
from support.networks import built, features, save_weights, timm_network

from dmlbench import ConfigError, DataError
from dmlbench_backbones.timm_models import TimmModel


@pytest.mark.parametrize("file_name", ["weights.safetensors", "prefixed.pth"])
def test_position_embeddings_of_a_file_are_resampled(tmp_path, file_name):
    weights = timm_network("test_vit", seed=5).state_dict()
    prefix = "backbone." if file_name == "prefixed.pth" else ""
    held = {f"{prefix}{name}": value for name, value in weights.items()}
    path = save_weights(held, tmp_path / file_name)
    backbone = TimmModel("test_vit", weights=path, weights_prefix=prefix, img_size=96)
    assert backbone.image_format().size == 96
    network = built(backbone, (3, 96, 96))
    made = network.state_dict()

    token, grid = weights["pos_embed"][:, :1], weights["pos_embed"][:, 1:]
    maps = grid.reshape(1, 10, 10, -1).permute(0, 3, 1, 2)
    smaller = F.interpolate(maps, (6, 6), mode="bicubic", antialias=True)
    expected = torch.cat([token, smaller.flatten(2).transpose(1, 2)], dim=1)
    assert torch.allclose(made.pop("pos_embed"), expected, atol=1e-6)
    assert all(torch.equal(value, weights[name]) for name, value in made.items())
    assert features(network, 2, 3, 96, 96).shape == (2, network.num_features)


def test_a_file_that_lacks_a_layer_is_refused_at_any_size(tmp_path):
    weights = timm_network("test_vit", seed=5).state_dict()
    del weights["norm.bias"]
    path = save_weights(weights, tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match=r"norm\.bias"):
        TimmModel("test_vit", weights=path, img_size=96).build((3, 96, 96))


def test_dinov2_runs_at_the_size_of_others():
    small = TimmModel("vit_small_patch14_dinov2.lvd142m", weights="none", img_size=224)
    assert small.image_format().size == 224
    with torch.device("meta"):
        network = small.build((3, 224, 224))
        assert network.pos_embed.shape == (1, 1 + 16 * 16, 384)
        assert network(torch.empty(2, 3, 224, 224)).shape == (2, 384)


def test_without_a_size_all_is_as_it_was():
    assert TimmModel("test_vit").image_format().size == 160
    assert TimmModel("vit_small_patch14_dinov2.lvd142m").image_format().size == 518


@pytest.mark.parametrize(
    ("name", "size", "why"),
    [
        ("test_resnet", "96", r"takes images of any size: leave out.*protocol\.image_size"),
        ("test_vit", "100", r"can't take images of 100 pixels: its patches are of 16.*img_size=96"),
        ("levit_128", "100", "can't take images of 100 pixels"),
        ("test_vit", "8", r"img_size=8 is outside IntUniform"),
    ],
)
def test_a_size_that_a_network_cannot_take_is_refused_when_it_is_planned(plan_of, name, size, why):
    settings = {"backbone.weights": "none", "backbone.img_size": size}
    with pytest.raises(ConfigError, match=why):
        plan_of(losses=("cross-entropy",), backbone=f"timm/{name}", settings=settings)
