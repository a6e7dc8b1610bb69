"""What timm's tags say of the data that weights were trained on."""

import pytest
import timm

from dmlbench_backbones.pretraining import pretraining_of
from dmlbench_backbones.timm_models import TimmModel

IN_1K = ("yes", "yes"), ("unknown", "no"), ("unknown", "no")
UNKNOWN = (("unknown", "unknown"),) * 3


@pytest.mark.parametrize(
    ("tag", "data", "answers"),
    [
        ("a1_in1k", "ImageNet-1k", IN_1K),
        ("dino", "ImageNet-1k", IN_1K),
        ("fb_swsl_ig1b_ft_in1k", "Instagram, 1 billion, ImageNet-1k", (IN_1K[0], *UNKNOWN[:2])),
        ("augreg_in21k_ft_in1k", "ImageNet-21k, ImageNet-1k", IN_1K),
        ("lvd142m", "LVD-142M", (("yes", "yes"), ("unknown", "yes"), UNKNOWN[0])),
        ("lvd1689m", "LVD-1689M", (("yes", "yes"), *UNKNOWN[:2])),
        ("eupe_lvd1689m", "LVD-1689M", UNKNOWN),
        ("sat493m", "SAT-493M", (("no", "no"),) * 3),
        ("openai", "OpenAI's 400 million pairs", UNKNOWN),
        ("metaclip_400m", "MetaCLIP", UNKNOWN),
        ("brand_new", "unknown data", UNKNOWN),
        # What is not known stays so beside what is: no answer is "no" then.
        ("brand_new_ft_in1k", "unknown data, ImageNet-1k", (IN_1K[0], *UNKNOWN[:2])),
        ("other3b_in1k", "ImageNet-1k, unknown data", (IN_1K[0], *UNKNOWN[:2])),
    ],
)
def test_a_tag_tells_the_data_and_what_of_the_benchmarks_is_in_them(tag, data, answers):
    found = pretraining_of(tag, "mit")
    assert (found.data, found.licence) == (data, "mit")
    told = [found.of(dataset) for dataset in ("cub", "cars", "sop")]
    assert tuple((one.images, one.classes) for one in told) == answers


def test_whatever_is_claimed_of_a_tag_of_timm_has_a_reason():
    tags = {name.partition(".")[2] for name in timm.list_models(pretrained=True)}
    assert len(tags) > 200
    for tag in tags:
        for one in pretraining_of(tag, "").contamination.values():
            assert one.reason or {one.images, one.classes} == {"unknown"}, tag


def test_weights_of_the_hub_have_the_licence_that_timm_states():
    found = TimmModel("vit_small_patch16_dinov3.lvd1689m").pretraining()
    assert found.licence == "dinov3-license"
    assert TimmModel("resnet18").pretraining().data == "ImageNet-1k"  # timm's first tag


def test_a_file_is_what_its_name_says_and_nothing_is_ruled_out():
    found = TimmModel("tf_efficientnet_lite0.in1k", weights="a.safetensors").pretraining()
    assert found.data == "ImageNet-1k (a file of weights, by its name)"
    assert found.of("cub").images == "yes"
    assert found.of("cars").classes == "unknown"  # "no" of ImageNet-1k itself
    unnamed = TimmModel("tf_efficientnet_lite0", weights="a.safetensors").pretraining()
    assert unnamed.data == "unknown data (a file of weights)"
    assert unnamed.of("cub").images == "unknown"


def test_a_random_start_was_trained_on_nothing():
    assert TimmModel("resnet18.a1_in1k", weights="none").pretraining() is None
