"""Networks that a GPU can't train repeatably are refused before anything is loaded."""

import pytest
import torch
from PIL import Image
from support.stored_photos import some_photos
from torch import nn

from dmlbench import ConfigError
from dmlbench.api.running import check_networks
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.schemas.plan import Plan
from dmlbench.training.unrepeatable_layers import refuse_unrepeatable_layers, unrepeatable_layers


class Warps(nn.Module):
    def forward(self, images):
        grid = nn.functional.affine_grid(
            torch.eye(2, 3)[None], list(images.shape), align_corners=False
        )
        return nn.functional.grid_sample(images, grid, align_corners=False)


def network(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), *layers, nn.Flatten(), nn.LazyLinear(2))


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        ((nn.AdaptiveAvgPool2d(7),), ["AdaptiveAvgPool2d to more than 1x1"]),
        ((nn.AdaptiveMaxPool2d(2),), ["AdaptiveMaxPool2d"]),
        ((nn.ReflectionPad2d(1), nn.AdaptiveAvgPool2d(7)), None),
        ((nn.Upsample(scale_factor=2, mode="bicubic"),), ["bicubic interpolation"]),
        ((Warps(),), ["grid_sample"]),
        ((nn.AdaptiveAvgPool2d(1),), []),
        ((nn.MaxPool2d(2), nn.AvgPool2d(2), nn.BatchNorm2d(4), nn.ReLU()), []),
        ((nn.Upsample(scale_factor=2, mode="bilinear"),), []),
        ((nn.ZeroPad2d(1), nn.ReplicationPad2d(1)), []),
    ],
)
def test_the_layers_that_torch_refuses_on_cuda_are_found(layers, found):
    expected = (
        found if found is not None else ["AdaptiveAvgPool2d to more than 1x1", "ReflectionPad2d"]
    )
    made = network(*layers).train()
    assert unrepeatable_layers(made, (3, 16, 16)) == expected
    assert made.training


def test_what_comes_before_all_weights_does_no_harm():
    made = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 2, 3), nn.Flatten())
    assert unrepeatable_layers(made, (3, 8, 8)) == []


@pytest.fixture
def photos(tmp_path) -> str:
    root = tmp_path / "photos"
    for name in range(8):
        (root / f"c{name}").mkdir(parents=True)
        for row, pixels in enumerate(some_photos(2, name)):
            Image.fromarray(pixels).save(root / f"c{name}" / f"{row}.png")
    return f"folder:{root}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "layer"),
    [("vgg16_bn", "AdaptiveAvgPool2d to more than 1x1"), ("tresnet_m", "ReflectionPad2d")],
)
def test_a_trial_of_such_a_network_is_refused_on_a_gpu_alone(
    trial_of, zoo, photos, monkeypatch, model, layer
):
    trial = trial_of(
        datasets=(photos,),
        losses=(zoo("Pull"),),
        backbone=f"timm/{model}",
        settings={
            "backbone.weights": "none",
            "protocol.image_size": "64",
            "protocol.short_side": "64",
        },
    )
    workplace = Workplace(Catalogue.discover(), None, torch.device("cpu"))
    refuse_unrepeatable_layers(trial, workplace, "cpu")
    untrained = {kind: part for kind, part in trial.parts.items() if kind == "backbone"}
    refuse_unrepeatable_layers(trial.model_copy(update={"parts": untrained}), workplace, "cuda")
    with pytest.raises(ConfigError, match=f"{model}.*{layer}.*--device cpu"):
        refuse_unrepeatable_layers(trial, workplace, "cuda")
    check_networks(Plan((trial,)), "cpu")
    monkeypatch.setattr("dmlbench.compute.device.pick_device", lambda name: torch.device("cuda"))
    with pytest.raises(ConfigError, match=f"{model}.*{layer}.*--device cpu"):
        check_networks(Plan((trial,)), "cuda")
