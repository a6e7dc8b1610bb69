"""The small convolutional network: shapes, size, pooling, and gradients that repeat."""

import pytest
import torch
import torch.nn.functional as F
from support.networks import built, features, parameter_count

from dmlbench import ConfigError, ImageFormat
from dmlbench_backbones.small_conv import SmallConv


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
