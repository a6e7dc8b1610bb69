"""Weights from the hub: from the local cache, or an error that says how to get them."""

import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.networks import built, features, save_weights, timm_network

from dmlbench import DataError, Plan, TrialError
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
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


REVISION = "0123456789abcdef0123456789abcdef01234567"
HUB = "timm/test_resnet.r160_in1k"


def cache(folder: Path, weights: dict[str, torch.Tensor], revision: str = REVISION) -> None:
    repository = folder / "models--timm--test_resnet.r160_in1k"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(revision)
    (repository / "snapshots" / revision).mkdir(parents=True)
    save_weights(weights, repository / "snapshots" / revision / "model.safetensors")


def test_weights_in_the_local_cache_need_no_network(offline_hub):
    source = timm_network("test_resnet", seed=9)
    cache(offline_hub, source.state_dict())
    network = built(TimmModel("test_resnet"), (3, 32, 32))
    source.reset_classifier(0)
    assert torch.equal(features(network, 2, 3, 32, 32), features(source, 2, 3, 32, 32))


def test_the_cached_revision_is_part_of_a_trial(offline_hub, plan_of):
    def planned() -> Plan:
        return plan_of(losses=("cross-entropy",), backbone="timm/test_resnet")

    cache(offline_hub, timm_network("test_resnet", seed=9).state_dict())
    plan = planned()
    part = plan.trials[0].parts["backbone"]
    assert part.revisions == {"weights": f"{HUB}@{REVISION}"}
    assert not any("hub" in remark for remark in plan.remarks)
    workplace = Workplace(Catalogue.discover(), None, torch.device("cpu"))
    workplace.make("backbone", part)
    cache(offline_hub, timm_network("test_resnet", seed=8).state_dict(), "f" * 40)
    assert planned().trials[0].id != plan.trials[0].id
    with pytest.raises(TrialError, match=rf"{REVISION} there, {HUB}@ffffffff"):
        workplace.make("backbone", part)
    unsaid = part.model_copy(update={"revisions": {}})  # as records of before have it
    workplace.make("backbone", unsaid)


def test_a_plan_says_that_the_hub_was_asked(tmp_path, monkeypatch, plan_of):
    import huggingface_hub

    def info(self, repository, **_):
        return SimpleNamespace(sha=REVISION)

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", info)
    plan = plan_of(losses=("cross-entropy",), backbone="timm/test_resnet")
    assert plan.trials[0].parts["backbone"].revisions == {"weights": f"{HUB}@{REVISION}"}
    assert any(f"{HUB} is not in the hub's local cache" in remark for remark in plan.remarks)


def test_a_plan_says_that_the_hub_is_out_of_reach(offline_hub, plan_of):
    plan = plan_of(losses=("cross-entropy",), backbone="timm/test_resnet")
    assert plan.trials[0].parts["backbone"].revisions == {}
    assert any(f"revision of {HUB} can't be told" in remark for remark in plan.remarks)
