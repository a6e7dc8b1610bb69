"""What becomes of a network's last map: pooling, layer norm and frozen batch norm."""

import copy

import pytest
import torch
import torch.nn.functional as F
from support.networks import built, features, parameter_count, timm_network
from torch import Tensor, nn

from dmlbench import ConfigError
from dmlbench_backbones.pooling import Pool
from dmlbench_backbones.timm_models import TimmModel

CHANGES = [
    {"pooling": "avg"},
    {"pooling": "max"},
    {"pooling": "avg+max"},
    {"pooling": "gem"},
    {"layer_norm": True},
    {"pooling": "avg+max", "layer_norm": True, "batch_norm": "frozen"},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
@pytest.mark.parametrize(
    "name", ["test_resnet", "test_efficientnet", "test_byobnet", "test_convnext", "lcnet_050"]
)
def test_pooling_and_layer_norm_do_to_the_last_map_what_plain_torch_does(name, changes):
    if name == "test_convnext" and "batch_norm" in changes:
        changes = changes | {"batch_norm": "trained"}
    network = built(TimmModel(name, weights="none", **changes), (3, 40, 56)).eval()
    source = timm_network(name, seed=0).eval()
    images = torch.randn(3, 3, 40, 56, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = source.forward_features(images)
        pooled = {
            "avg": F.adaptive_avg_pool2d(maps, 1),
            "max": F.adaptive_max_pool2d(maps, 1),
            "avg+max": F.adaptive_avg_pool2d(maps, 1) + F.adaptive_max_pool2d(maps, 1),
            "gem": F.lp_pool2d(maps.clamp(min=1e-6), 3, maps.shape[2:])
            / maps[0, 0].numel() ** (1 / 3),
        }
        source.reset_classifier(0)
        holder = source.head if name in ("test_byobnet", "test_convnext") else source
        holder.global_pool = nn.Identity()
        pool = pooled[changes.get("pooling", "avg")]
        if name == "test_byobnet":
            expected = pool.flatten(1)
        else:
            expected = source.forward_head(pool).flatten(1)
        if changes.get("layer_norm"):
            expected = F.layer_norm(expected, expected.shape[1:])
        assert network(images).shape == (3, network.num_features)
        assert torch.allclose(network(images), expected, atol=1e-5)


def test_layer_norm_has_no_parameters():
    plain = built(TimmModel("test_resnet", weights="none"), (3, 32, 32))
    normed = built(TimmModel("test_resnet", weights="none", layer_norm=True), (3, 32, 32))
    assert parameter_count(plain) == parameter_count(normed)


def test_layer_norm_and_frozen_batch_norm_of_a_vision_transformer():
    network = built(TimmModel("test_vit", weights="none", layer_norm=True), (3, 160, 160))
    assert features(network, 2, 3, 160, 160).std(1, unbiased=False).allclose(torch.ones(2), 1e-2)
    with pytest.raises(ConfigError, match="no batch norm"):
        TimmModel("test_vit", weights="none", batch_norm="frozen").resolved()


@pytest.mark.parametrize("patch_embedding", ["trained", "frozen"])
def test_a_frozen_patch_embedding_stays_as_it_is_and_the_rest_learns(patch_embedding):
    backbone = TimmModel("test_vit", weights="none", patch_embedding=patch_embedding)
    network = built(backbone, (3, 160, 160))
    before = copy.deepcopy(network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
    network(torch.randn(2, 3, 160, 160)).square().sum().backward()
    optimiser.step()
    moved = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    patches = {"patch_embed.proj.weight", "patch_embed.proj.bias"}
    assert patches & moved == (set() if patch_embedding == "frozen" else patches)
    assert {"pos_embed", "cls_token", "blocks.0.attn.qkv.weight"} <= moved


def test_a_patch_embedding_that_is_not_there_cannot_be_frozen():
    with pytest.raises(ConfigError, match="no patch embedding to freeze"):
        TimmModel("test_resnet", weights="none", patch_embedding="frozen").resolved()


def batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]


def trained_a_step(batch_norm: str) -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """Return a network before and after a step, and the gradient of its first convolution.

    The pretrained statistics are far from those of the images.
    """
    network = built(TimmModel("test_resnet", weights="none", batch_norm=batch_norm), (3, 32, 32))
    torch.manual_seed(4)
    for layer in batch_norms(network):
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
        layer.weight.data.uniform_(0.5, 2)  # timm starts some at 0, past which nothing learns
    before = copy.deepcopy(network)
    images = torch.randn(4, 3, 32, 32)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    network.train()
    made = network(images)
    made.square().sum().backward()
    optimiser.step()
    return before, network, images, made.detach()


@pytest.mark.parametrize("batch_norm", ["trained", "frozen-statistics", "frozen"])
def test_batch_norm_learns_just_what_it_is_to(batch_norm):
    before, after, images, made = trained_a_step(batch_norm)
    plain = timm_network("test_resnet", seed=0, num_classes=0)
    plain.load_state_dict(
        {name.removeprefix("network."): value for name, value in before.state_dict().items()}
    )
    plain.train(batch_norm == "trained")  # nothing else in this network knows of training
    assert torch.allclose(made, plain(images), atol=1e-5)
    for old, new in zip(batch_norms(before), batch_norms(after), strict=True):
        moved = batch_norm == "trained"
        assert torch.equal(old.running_mean, new.running_mean) != moved
        assert torch.equal(old.running_var, new.running_var) != moved
        assert torch.equal(old.bias, new.bias) == (batch_norm == "frozen")
    first = [next(network.parameters()) for network in (before, after)]
    assert not torch.equal(*first)


@pytest.mark.parametrize("batch_norm", ["frozen-statistics", "frozen"])
def test_frozen_batch_norm_stays_so_whatever_mode_is_set(batch_norm):
    network = built(TimmModel("test_resnet", weights="none", batch_norm=batch_norm), (3, 32, 32))
    for mode in (True, False, True):
        holder = nn.Sequential(network).train(mode)
        assert holder[0].training == mode
        assert not any(layer.training for layer in batch_norms(network))
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network.train()(images), network.eval()(images))


def test_the_exponent_of_the_generalised_mean_learns():
    network = built(TimmModel("test_resnet", weights="none", pooling="gem"), (3, 40, 56))
    (exponent,) = [each for name, each in network.named_parameters() if name.endswith("pool.p")]
    network(torch.randn(2, 3, 40, 56)).sum().backward()
    assert exponent.tolist() == [3.0]
    assert exponent.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ["avg", "max", "avg+max"])
def test_pooling_has_the_gradient_of_plain_torch(kind):
    maps = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    plain = {"avg": F.adaptive_avg_pool2d(maps, 1), "max": F.adaptive_max_pool2d(maps, 1)}
    plain["avg+max"] = plain["avg"] + plain["max"]
    weights = torch.randn(2, 3, dtype=torch.float64)
    (expected,) = torch.autograd.grad((plain[kind].flatten(1) * weights).sum(), maps)
    (found,) = torch.autograd.grad((Pool(kind)(maps) * weights).sum(), maps)
    assert torch.allclose(found, expected, atol=1e-12)
