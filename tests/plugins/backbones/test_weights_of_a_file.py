"""Weights from a file are the ones asked for, or an error."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.networks import built, features, save_weights, timm_network
from support.real_data import real_data

from dmlbench import ConfigError, DataError
from dmlbench_backbones.timm_models import TimmModel


@pytest.mark.parametrize("file_name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize("classes", [1000, 7, 0])
@pytest.mark.parametrize(("name", "side"), [("test_resnet", 48), ("test_vit", 160)])
def test_weights_of_a_file_are_loaded_whatever_its_classifier(
    tmp_path, name, side, classes, file_name
):
    source = timm_network(name, seed=5, num_classes=classes)
    path = save_weights(source.state_dict(), tmp_path / file_name)
    network = built(TimmModel(name, weights=path), (3, side, side))
    source.reset_classifier(0)
    assert torch.equal(features(network, 2, 3, side, side), features(source, 2, 3, side, side))
    assert network.state_dict().keys() == source.state_dict().keys()


def test_a_file_that_lacks_a_layer_is_an_error_that_names_it(tmp_path):
    weights = timm_network("test_resnet", seed=5).state_dict()
    del weights["layer2.0.conv1.weight"]
    path = save_weights(weights, tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match=r"does not hold.*layer2\.0\.conv1\.weight"):
        TimmModel("test_resnet", weights=path).build((3, 32, 32))


def test_a_file_of_another_architecture_is_an_error(tmp_path):
    path = save_weights(timm_network("test_vit", seed=5).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(DataError, match="does not hold the weights of 'timm/test_resnet'"):
        TimmModel("test_resnet", weights=path).build((3, 32, 32))


@pytest.mark.parametrize("prefix", ["model.", "learner.backbone."])
@pytest.mark.parametrize("file_name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize(("name", "side"), [("test_resnet", 48), ("test_vit", 160)])
def test_a_prefix_of_all_layers_is_named_and_can_be_stripped(
    tmp_path, name, side, file_name, prefix
):
    source = timm_network(name, seed=5, num_classes=7)
    weights = {f"{prefix}{layer}": value for layer, value in source.state_dict().items()}
    weights["proxies"] = torch.zeros(3)
    path = save_weights(weights, tmp_path / file_name)
    with pytest.raises(DataError, match=rf"weights_prefix={prefix}\."):
        TimmModel(name, weights=path).build((3, side, side))
    network = built(TimmModel(name, weights=path, weights_prefix=prefix), (3, side, side))
    source.reset_classifier(0)
    assert torch.equal(features(network, 2, 3, side, side), features(source, 2, 3, side, side))
    assert "state_dict" not in network.pretrained_cfg


def test_the_prefix_of_parallel_training_needs_no_setting(tmp_path):
    source = timm_network("test_resnet", seed=5)
    weights = {f"module.{layer}": value for layer, value in source.state_dict().items()}
    path = save_weights(weights, tmp_path / "weights.pth")
    network = built(TimmModel("test_resnet", weights=path), (3, 48, 48))
    source.reset_classifier(0)
    assert torch.equal(features(network, 2, 3, 48, 48), features(source, 2, 3, 48, 48))


def test_a_wrong_prefix_is_an_error_that_shows_a_layer(tmp_path):
    source = timm_network("test_resnet", seed=5)
    path = save_weights(source.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(DataError, match=r"begins with 'model\.'; the first is 'conv1"):
        TimmModel("test_resnet", weights=path, weights_prefix="model.").build((3, 32, 32))
    missing = {"model.fc.weight": torch.zeros(7, 3)}
    path = save_weights(missing, tmp_path / "part.pth")
    with pytest.raises(DataError, match="does not hold the weights"):
        TimmModel("test_resnet", weights=path, weights_prefix="model.").build((3, 32, 32))


@pytest.mark.parametrize("weights", ["default", "none"])
def test_a_prefix_without_a_file_would_change_nothing(weights):
    with pytest.raises(ConfigError, match="would change nothing"):
        TimmModel("test_resnet", weights=weights, weights_prefix="model.").files()


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


def test_real_weights_are_loaded_in_full():
    path = real_data("weights/tf_efficientnet_lite0.in1k.safetensors")
    backbone = TimmModel("tf_efficientnet_lite0", weights=str(path))
    network = built(backbone, (3, 64, 64))
    loaded, stored = network.state_dict(), load_file(path)
    assert set(stored) - set(loaded) == {"classifier.weight", "classifier.bias"}
    assert set(loaded) <= set(stored)
    assert all(torch.equal(loaded[name], stored[name]) for name in loaded)
    assert features(network, 2, 3, 64, 64).shape == (2, network.num_features) == (2, 1280)
