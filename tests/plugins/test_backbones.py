"""Backbones: shapes, input formats, and weights that are the ones asked for or an error."""

import copy
import os
import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dmlbench import ConfigError, DataError, ImageFormat
from dmlbench_backbones.features import Pool
from dmlbench_backbones.linear import Linear
from dmlbench_backbones.small_conv import SmallConv
from dmlbench_backbones.timm_models import TimmModel

DATA = Path(os.environ.get("DMLBENCH_DATA") or Path(__file__).parents[2] / "../shared/data")
LITE0 = DATA / "weights" / "tf_efficientnet_lite0.in1k.safetensors"


def built(backbone, shape: tuple[int, ...], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return backbone.build(shape)


def features(network: nn.Module, *shape: int, seed: int = 0) -> torch.Tensor:
    inputs = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return network.eval()(inputs)


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# SmallConv


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 17), (1, 28, 28), (3, 33, 12), (3, 64, 64)])
def test_small_conv_turns_any_small_image_into_256_features(shape):
    network = built(SmallConv(), shape)
    assert network.num_features == 256
    assert features(network, 5, *shape).shape == (5, 256)
    assert features(network, 5, *shape).isfinite().all()


@pytest.mark.parametrize(("channels", "parameters"), [(1, 55_904), (3, 56_480)])
def test_small_conv_is_small(channels, parameters):
    assert parameter_count(built(SmallConv(), (channels, 28, 28))) == parameters


def test_small_conv_takes_its_width():
    network = built(SmallConv(width=8), (1, 28, 28))
    assert features(network, 2, 1, 28, 28).shape == (2, network.num_features) == (2, 64)


@pytest.mark.parametrize("side", range(8, 25))
def test_small_conv_pools_like_adaptive_average_pooling(side):
    network = built(SmallConv(width=8), (1, side, side + 3)).eval()
    images = torch.randn(3, 1, side, side + 3)
    with torch.no_grad():
        expected = F.adaptive_avg_pool2d(network.layers(images), 2).flatten(1)
        assert torch.allclose(network(images), expected, atol=1e-6)


def test_small_conv_does_not_mind_how_images_lie_in_memory():
    network = built(SmallConv(), (3, 16, 16)).eval()
    images = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(network(images), network(images.to(memory_format=torch.channels_last)))


def test_small_conv_learns_by_gradients_that_repeat_to_the_bit():
    def gradients() -> list[torch.Tensor]:
        network = built(SmallConv(), (1, 20, 20))
        torch.manual_seed(1)
        network(torch.randn(6, 1, 20, 20)).square().sum().backward()
        return [parameter.grad for parameter in network.parameters()]

    first, again = gradients(), gradients()
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(gradient.isfinite().all() and gradient.any() for gradient in first)


@pytest.mark.parametrize("shape", [(1, 7, 28), (3, 28, 4), (30,), (1, 1, 28, 28)])
def test_small_conv_refuses_what_is_no_image_of_8_pixels(shape):
    with pytest.raises(ConfigError, match="at least 8 pixels"):
        SmallConv().build(shape)


def test_small_conv_wants_images_as_the_dataset_has_them():
    assert SmallConv().image_format() == ImageFormat(None, None, (0.5,), (0.5,))


# Linear


def test_linear_has_nothing_to_learn_and_keeps_every_feature():
    network = built(Linear(), (7,))
    assert Linear.modality == "vector"
    assert network.num_features == 7
    assert parameter_count(network) == 0


def test_linear_standardises_each_training_batch():
    vectors = np.random.default_rng(0).normal(3, [0.5, 1, 40], (50, 3)).astype(np.float32)
    standardised = built(Linear(), (3,)).train()(torch.from_numpy(vectors)).numpy()
    expected = (vectors - vectors.mean(0)) / vectors.std(0)
    assert np.allclose(standardised, expected, atol=1e-3)


def test_linear_evaluates_by_the_average_over_all_training_batches():
    batches = np.random.default_rng(0).normal(-1, [2, 9], (30, 16, 2)).astype(np.float32)
    network = built(Linear(), (2,)).train()
    for batch in batches:
        network(torch.from_numpy(batch))
    mean = batches.mean(1).mean(0)
    deviation = np.sqrt(batches.var(1, ddof=1).mean(0))
    test = np.array([[0.0, 1.0], [5.0, -3.0]], dtype=np.float32)
    standardised = network.eval()(torch.from_numpy(test)).numpy()
    assert np.allclose(standardised, (test - mean) / deviation, atol=1e-4)


def test_linear_changes_nothing_before_the_first_batch():
    vectors = torch.tensor([[3.0, -200.0]])
    assert torch.allclose(built(Linear(), (2,)).eval()(vectors), vectors, rtol=1e-4)


def test_linear_makes_a_constant_feature_zero():
    standardised = built(Linear(), (1,)).train()(torch.full((9, 1), 4.5))
    assert torch.allclose(standardised, torch.zeros(9, 1), atol=1e-3)


def test_linear_refuses_images():
    with pytest.raises(ConfigError, match=r"vectors \[D\].*small-conv"):
        Linear().build((1, 28, 28))


# timm: names and formats


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


# timm: random weights


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


# timm: pooling, layer norm, batch norm

CHANGES = [
    {"pooling": "avg"},
    {"pooling": "max"},
    {"pooling": "avg+max"},
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


def test_vision_transformers_keep_their_own_pooling():
    network = built(TimmModel("test_vit", weights="none", layer_norm=True), (3, 160, 160))
    assert features(network, 2, 3, 160, 160).std(1, unbiased=False).allclose(torch.ones(2), 1e-2)
    for pooling in ("avg", "max", "avg+max"):
        with pytest.raises(ConfigError, match="pools in its own way"):
            TimmModel("test_vit", weights="none", pooling=pooling).build((3, 160, 160))
    with pytest.raises(ConfigError, match="no batch norm"):
        TimmModel("test_vit", weights="none", batch_norm="frozen").build((3, 160, 160))


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


@pytest.mark.parametrize("kind", ["avg", "max", "avg+max"])
def test_pooling_has_the_gradient_of_plain_torch(kind):
    maps = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    plain = {"avg": F.adaptive_avg_pool2d(maps, 1), "max": F.adaptive_max_pool2d(maps, 1)}
    plain["avg+max"] = plain["avg"] + plain["max"]
    weights = torch.randn(2, 3, dtype=torch.float64)
    (expected,) = torch.autograd.grad((plain[kind].flatten(1) * weights).sum(), maps)
    (found,) = torch.autograd.grad((Pool(kind)(maps) * weights).sum(), maps)
    assert torch.allclose(found, expected, atol=1e-12)


# timm: weights from a file


def timm_network(name: str, seed: int, **arguments) -> nn.Module:
    import timm

    torch.manual_seed(seed)
    return timm.create_model(name, **arguments)


def save(weights: dict[str, torch.Tensor], path: Path) -> str:
    weights = {name: weight.contiguous() for name, weight in weights.items()}
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save({"state_dict": weights, "epoch": 3}, path)
    return str(path)


@pytest.mark.parametrize("file_name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize("classes", [1000, 7, 0])
@pytest.mark.parametrize(("name", "side"), [("test_resnet", 48), ("test_vit", 160)])
def test_weights_of_a_file_are_loaded_whatever_its_classifier(
    tmp_path, name, side, classes, file_name
):
    source = timm_network(name, seed=5, num_classes=classes)
    path = save(source.state_dict(), tmp_path / file_name)
    network = built(TimmModel(name, weights=path), (3, side, side))
    source.reset_classifier(0)
    assert torch.equal(features(network, 2, 3, side, side), features(source, 2, 3, side, side))
    assert network.state_dict().keys() == source.state_dict().keys()


def test_a_file_that_lacks_a_layer_is_an_error_that_names_it(tmp_path):
    weights = timm_network("test_resnet", seed=5).state_dict()
    del weights["layer2.0.conv1.weight"]
    path = save(weights, tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match=r"does not hold.*layer2\.0\.conv1\.weight"):
        TimmModel("test_resnet", weights=path).build((3, 32, 32))


def test_a_file_of_another_architecture_is_an_error(tmp_path):
    path = save(timm_network("test_vit", seed=5).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(DataError, match="does not hold the weights of 'timm/test_resnet'"):
        TimmModel("test_resnet", weights=path).build((3, 32, 32))


@pytest.mark.parametrize("file_name", ["weights.safetensors", "weights.pth", "weights"])
@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps([1, 2], protocol=2)])
def test_a_file_without_weights_is_an_error(tmp_path, file_name, content):
    path = tmp_path / file_name
    path.write_bytes(content)
    with pytest.raises(DataError, match="does not hold the weights"):
        TimmModel("test_resnet", weights=str(path)).build((3, 32, 32))


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_file_of_something_else_than_tensors_is_an_error(tmp_path):
    for content in ([1, 2], {"state_dict": {"conv1.weight": 3}}, {}, None):
        torch.save(content, tmp_path / "weights.pth")
        with pytest.raises(DataError, match="does not hold the weights"):
            TimmModel("test_resnet", weights=str(tmp_path / "weights.pth")).build((3, 32, 32))


def test_code_in_a_file_of_weights_is_not_run(tmp_path):
    sprung = tmp_path / "sprung"
    torch.save({"state_dict": Trap(sprung)}, tmp_path / "weights.pth")
    with pytest.raises(DataError, match="does not hold the weights"):
        TimmModel("test_resnet", weights=str(tmp_path / "weights.pth")).build((3, 32, 32))
    assert not sprung.exists()


@pytest.mark.parametrize("weights", ["no/such/file.safetensors", "defualt", "."])
def test_a_missing_file_is_an_error_that_names_the_choices(weights):
    with pytest.raises(DataError, match=r"no such file.*'default'.*'none'"):
        TimmModel("test_resnet", weights=weights).build((3, 32, 32))


@pytest.mark.skipif(
    not LITE0.is_file(), reason=f"no {LITE0}: put the file there or set DMLBENCH_DATA to its folder"
)
def test_real_weights_are_loaded_in_full():
    backbone = TimmModel("tf_efficientnet_lite0", weights=str(LITE0))
    network = built(backbone, (3, 64, 64))
    loaded, stored = network.state_dict(), load_file(LITE0)
    assert set(stored) - set(loaded) == {"classifier.weight", "classifier.bias"}
    assert set(loaded) <= set(stored)
    assert all(torch.equal(loaded[name], stored[name]) for name in loaded)
    assert features(network, 2, 3, 64, 64).shape == (2, network.num_features) == (2, 1280)


# timm: weights from the hub


@pytest.fixture
def offline_hub(tmp_path, monkeypatch) -> Path:
    """An empty cache and no network: an attempt to connect fails the test."""
    import huggingface_hub.constants

    def connect(*_):
        pytest.fail("tried to connect to a network")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", connect)
    return tmp_path


def test_weights_that_cannot_be_had_are_an_error_that_says_how_to_get_them(offline_hub):
    with pytest.raises(DataError) as error:
        TimmModel("test_resnet.r160_in1k").build((3, 32, 32))
    text = str(error.value)
    assert "'timm/test_resnet.r160_in1k' can't be had" in text
    assert "--set backbone.weights=PATH" in text
    assert "hf download timm/test_resnet.r160_in1k" in text
    assert "weights=none" in text


def test_a_network_without_pretrained_weights_is_an_error_not_a_random_start(offline_hub):
    with pytest.raises(DataError, match="No pretrained weights exist") as error:
        TimmModel("test_coatnet").build((3, 160, 160))
    assert "hf download" not in str(error.value)


def test_weights_in_the_local_cache_need_no_network(offline_hub):
    source = timm_network("test_resnet", seed=9)
    repository = offline_hub / "models--timm--test_resnet.r160_in1k"
    revision = "0123456789abcdef0123456789abcdef01234567"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    (repository / "snapshots" / revision).mkdir(parents=True)
    save(source.state_dict(), repository / "snapshots" / revision / "model.safetensors")
    network = built(TimmModel("test_resnet"), (3, 32, 32))
    source.reset_classifier(0)
    assert torch.equal(features(network, 2, 3, 32, 32), features(source, 2, 3, 32, 32))
