"""Weights from the hub: from the local cache, or an error that says how to get them."""

import socket
from pathlib import Path

import pytest
import torch
from support.networks import built, features, save_weights, timm_network

from dmlbench import DataError
from dmlbench_backbones.timm_models import TimmModel


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
    save_weights(source.state_dict(), repository / "snapshots" / revision / "model.safetensors")
    network = built(TimmModel("test_resnet"), (3, 32, 32))
    source.reset_classifier(0)
    assert torch.equal(features(network, 2, 3, 32, 32), features(source, 2, 3, 32, 32))
