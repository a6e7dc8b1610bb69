"""How a network's last layer becomes one vector: by request, and as its authors do it."""

import pytest
import torch
from support.networks import built, timm_network

from dmlbench import ConfigError
from dmlbench_backbones.timm_models import TimmModel

# What the authors' code returns, and "own" where timm has one way only.
UPSTREAM = {
    # facebookresearch/dino, vision_transformer.py, forward: x[:, 0] after the norm
    "vit_small_patch16_224.dino": "token",
    # facebookresearch/dinov2, models/vision_transformer.py, forward: x_norm_clstoken
    "vit_base_patch14_dinov2.lvd142m": "token",
    "vit_small_patch14_reg4_dinov2.lvd142m": "token",
    # facebookresearch/dinov3, models/vision_transformer.py, forward: x_norm_clstoken
    "vit_small_patch16_dinov3.lvd1689m": "token",
    "vit_large_patch16_dinov3.sat493m": "token",
    # the same, models/convnext.py: the mean of the map, as timm
    "convnext_tiny.dinov3_lvd1689m": "own",
    # facebookresearch/deit is timm's VisionTransformer; distilled: the mean of two heads
    "deit_small_patch16_224.fb_in1k": "token",
    "deit_small_distilled_patch16_224.fb_in1k": "own",
    # openai/CLIP, model.py: ln_post(x[:, 0, :]) in VisionTransformer, AttentionPool2d in ResNets
    "vit_base_patch16_clip_224.openai": "token",
    "resnet50_clip.openai": "own",
    # google-research/big_vision, models/vit.py: pool_type="map" for SigLIP, "tok" for ViT
    "vit_base_patch16_siglip_224.webli": "map",
    "vit_base_patch16_siglip_224.v2_webli": "map",
    "vit_base_patch16_224.augreg_in21k": "token",
    # microsoft/unilm, beit/modeling_finetune.py: use_mean_pooling
    "beit_base_patch16_224.in22k_ft_in22k": "avg",
    # facebookresearch/xcit: class attention
    "xcit_nano_12_p16_224.fb_in1k": "token",
    "resnet50.tv_in1k": "own",
}


@pytest.mark.parametrize(("name", "pooling"), UPSTREAM.items())
def test_the_default_is_what_the_authors_do(name, pooling):
    assert TimmModel(name).resolved() == {"pooling": pooling, "img_size": None}


@pytest.mark.parametrize(
    ("name", "side", "kinds"),
    [
        ("test_vit", 160, ("token", "avg")),  # the class token first, normalised before
        ("test_vit2", 160, ("avg",)),  # a register first, no class token
        ("test_vit3", 160, ("map",)),
        ("vit_tiny_patch16_dinov3_qkvb", 64, ("token", "avg")),  # four registers
        ("xcit_nano_12_p16_224", 224, ("token", "avg")),
    ],
)
def test_tokens_are_pooled_as_plain_torch_does(name, side, kinds):
    source = timm_network(name, seed=0).eval()
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        if side == 64:
            source.set_input_size(64)
        tokens = source.forward_features(images)
        norm = getattr(source, "fc_norm", torch.nn.Identity())
        patches = tokens[:, source.num_prefix_tokens :]
        expected = {"token": norm(tokens[:, 0]), "avg": norm(patches.mean(1))}
        if "map" in kinds:
            expected["map"] = source.attn_pool(tokens)
        size = {"img_size": 64} if side == 64 else {}
        for kind in kinds:
            network = built(TimmModel(name, weights="none", pooling=kind, **size), images.shape[1:])
            assert torch.allclose(network.eval()(images), expected[kind], atol=1e-5), kind
            assert network.num_features == expected[kind].shape[1]


def test_an_attention_pool_that_is_not_used_is_gone():
    network = built(TimmModel("test_vit3", weights="none", pooling="avg"), (3, 160, 160))
    source = timm_network("test_vit3", seed=0).eval()
    images = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        patches = source.forward_features(images)[:, source.num_prefix_tokens :]
        assert torch.allclose(network.eval()(images), patches.mean(1), atol=1e-5)
    assert not any(name.startswith("attn_pool") for name, _ in network.named_parameters())


@pytest.mark.parametrize(
    ("name", "pooling", "why"),
    [
        ("test_vit", "map", "has no attention pool.*Possible: upstream, own, token, avg."),
        ("test_vit", "max", "has no map to pool"),
        ("test_vit2", "token", "has no class token.*Possible: upstream, own, avg."),
        ("test_vit3", "token", "has no class token.*Possible: upstream, own, avg, map."),
        ("test_resnet", "token", "has no class token.*Possible: upstream, own, avg, max, avg.max."),
        ("deit_tiny_distilled_patch16_224", "avg", "pools in its own way.*: upstream, own."),
    ],
)
def test_impossible_pooling_is_refused_when_it_is_planned(plan_of, name, pooling, why):
    settings = {"backbone.weights": "none", "backbone.pooling": pooling}
    with pytest.raises(ConfigError, match=why):
        plan_of(losses=("cross-entropy",), backbone=f"timm/{name}", settings=settings)


def test_trials_record_what_a_setting_stands_for(trial_of):
    def part(**settings):
        settings = {f"backbone.{name}": value for name, value in settings.items()}
        trial = trial_of(
            losses=("cross-entropy",),
            backbone="timm/test_vit",
            settings={"backbone.weights": "none", **settings},
        )
        return trial.parts["backbone"], trial.id

    usual, usual_id = part()
    assert usual.settings["pooling"] == "token"
    assert usual.changed == {"weights": "none"}
    for same in ({"pooling": "token"}, {"pooling": "own"}, {"img_size": "160"}):
        assert part(**same) == (usual, usual_id)
    averaged, other_id = part(pooling="avg")
    assert averaged.changed == {"weights": "none", "pooling": "avg"}
    assert other_id != usual_id
