"""From raw inputs to embeddings: the format that a backbone asks for, against plain arithmetic."""

from hashlib import sha256

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dmlbench import Backbone, ConfigError, ImageFormat, PluginError
from dmlbench.data.items import Items
from dmlbench.training.embedder import Embedder, embed, formatted, weights_hash

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
GREY = Items(RNG.integers(256, size=(6, 1, 8, 8)).astype(np.uint8), np.arange(6))
COLOUR = Items(RNG.integers(256, size=(6, 3, 8, 8)).astype(np.uint8), np.arange(6))
VECTORS = Items(RNG.normal(size=(6, 5)).astype(np.float32), np.arange(6))


class Keeping(nn.Module):
    """Keeps what reaches it."""

    num_features = 2

    def forward(self, inputs: Tensor) -> Tensor:
        self.given = inputs
        return inputs.flatten(1)[:, :2]


class Asking(Backbone):
    """Asks for a format."""

    def __init__(self, **wanted: object) -> None:
        self.wanted = ImageFormat(**wanted)

    def image_format(self) -> ImageFormat:
        return self.wanted

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        self.shape = shape
        return Keeping()


class ForVectors(Asking):
    modality = "vector"


def given(backbone: Backbone, items: Items) -> Tensor:
    """Return what reaches the network for all items."""
    model = Embedder(backbone, items, 4)
    embed(model, items, CPU)
    return model.backbone.given


def test_pixels_are_brought_to_the_mean_and_deviation_asked_for():
    found = given(Asking(mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0)), COLOUR)
    for n, c, y, x in np.ndindex(COLOUR.inputs.shape):
        pixel = COLOUR.inputs[n, c, y, x] / 255
        expected = (pixel - (0.1, 0.2, 0.3)[c]) / (0.5, 1.0, 2.0)[c]
        assert found[n, c, y, x].item() == pytest.approx(expected, abs=1e-6)


def test_grey_images_are_repeated_for_a_network_for_colour():
    backbone = Asking(channels=3, mean=(0.0,), std=(1.0,))
    found = given(backbone, GREY)
    assert backbone.shape == (3, 8, 8)
    for channel in range(3):
        assert np.allclose(found[:, channel] * 255, GREY.inputs[:, 0], atol=1e-4)


def test_images_are_resized_to_the_size_asked_for():
    flat = Items(np.full((2, 1, 8, 8), 51, dtype=np.uint8), np.arange(2))
    backbone = Asking(size=5, mean=(0.0,), std=(1.0,))
    found = given(backbone, flat)
    assert backbone.shape == (1, 5, 5)
    assert found.shape == (2, 1, 5, 5)
    assert torch.allclose(found, torch.tensor(0.2))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("wanted", [3, None])
def test_the_layout_and_the_memory_make_no_difference(layout, wanted):
    images = torch.from_numpy(RNG.integers(256, size=(9, 3, 200, 160)).astype(np.uint8))
    images = images.to(memory_format=layout)
    asked = ImageFormat(wanted, None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    mean, std = (torch.tensor(some).view(3, 1, 1) for some in (asked.mean, asked.std))
    expected = (images.float() / 255 - mean) / std
    found = formatted(images, asked)
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=layout)
    again = formatted(images.flip(0), asked, found)
    assert again.data_ptr() == found.data_ptr()
    assert torch.equal(again, expected.flip(0))
    fewer = formatted(images[:4], asked, found)
    assert torch.equal(fewer, expected[:4])
    assert torch.equal(found, expected.flip(0))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_mean_and_deviation_are_brought_to_a_device_once(layout, monkeypatch):
    images = torch.from_numpy(COLOUR.inputs).to(memory_format=layout)
    asked = ImageFormat(None, None, (0.125, 0.25, 0.75), (0.5, 1.5, 2.5))
    first = formatted(images, asked)
    monkeypatch.setattr(torch, "tensor", None)
    assert torch.equal(formatted(images, asked), first)


def test_memory_serves_again_in_training_alone():
    class Flattening(Asking):
        def build(self, shape: tuple[int, ...]) -> nn.Module:
            network = nn.Flatten()
            network.num_features = 64
            return network

    model = Embedder(Flattening(), GREY, 4)
    model.head = nn.Identity()
    images = torch.from_numpy(GREY.inputs)
    one, two = model.eval()(images[:3]), model(images[3:])
    assert not torch.equal(one, two)
    one, two = model.train()(images[:3]), model(images[3:])
    assert one.data_ptr() == two.data_ptr()


def test_a_batch_that_was_written_over_is_not_learnt_from():
    class Convolving(Asking):
        def build(self, shape: tuple[int, ...]) -> nn.Module:
            network = nn.Sequential(nn.Conv2d(1, 2, 8), nn.Flatten())
            network.num_features = 2
            return network

    model = Embedder(Convolving(), GREY, 4).train()
    images = torch.from_numpy(GREY.inputs)
    made = model(images)
    made.sum().backward()
    made = model(images)
    model(images)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        made.sum().backward()


def test_large_images_are_embedded_few_at_a_time():
    sizes = []

    class Counting(Asking):
        def build(self, shape: tuple[int, ...]) -> nn.Module:
            class Network(Keeping):
                def forward(self, inputs: Tensor) -> Tensor:
                    sizes.append(len(inputs))
                    return super().forward(inputs)

            return Network()

    large = Items(np.zeros((70, 3, 200, 200), dtype=np.uint8), np.arange(70))
    embed(Embedder(Counting(), large, 4), large, CPU)
    assert sizes == [34, 34, 2]


def test_vectors_reach_the_network_as_they_are():
    backbone = ForVectors()
    assert np.array_equal(given(backbone, VECTORS), VECTORS.inputs)
    assert backbone.shape == (5,)


@pytest.mark.parametrize(
    ("backbone", "items", "reason"),
    [
        (Asking(), VECTORS, "Asking takes images, but the dataset has vectors"),
        (ForVectors(), GREY, "ForVectors takes vectors, but the dataset has images"),
        (Asking(channels=1), COLOUR, "Asking needs 1 channels, the images have 3"),
    ],
)
def test_inputs_that_a_network_is_not_made_for_are_refused(backbone, items, reason):
    with pytest.raises(ConfigError, match=reason):
        Embedder(backbone, items, 4)


def test_a_network_must_say_how_many_features_it_makes():
    class Silent(Asking):
        def build(self, shape: tuple[int, ...]) -> nn.Module:
            return nn.Flatten()

    with pytest.raises(PluginError, match=r"Silent\.build returned no int num_features"):
        Embedder(Silent(), GREY, 4)


def test_embeddings_do_not_depend_on_the_rest_of_the_batch():
    class Normalising(ForVectors):
        def build(self, shape: tuple[int, ...]) -> nn.Module:
            network = nn.Sequential(nn.BatchNorm1d(5), nn.Dropout(0.5))
            network.num_features = 5
            return network

    many = Items(RNG.normal(size=(600, 5)).astype(np.float32), np.arange(600))
    model = Embedder(Normalising(), many, 4).train()
    together = embed(model, many, CPU)
    assert together.shape == (600, 4)
    assert not together.requires_grad
    for place in (0, 255, 256, 599):
        alone = embed(model, many[np.array([place])], CPU)
        torch.testing.assert_close(together[place : place + 1], alone)


# How the head starts


def head(how: str, features: int, seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return Embedder(Sized(features), VECTORS, 300, how).head


class Sized(ForVectors):
    def __init__(self, features: int) -> None:
        self.features = features

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        network = nn.Identity()
        network.num_features = self.features
        return network


def test_a_head_starts_as_torch_has_it_unless_the_protocol_says_otherwise():
    torch.manual_seed(0)
    expected = nn.Linear(400, 300)
    found = head("torch", 400)
    assert torch.equal(found.weight, expected.weight)
    assert torch.equal(found.bias, expected.bias)


def test_a_head_may_start_as_he_et_al_have_it_for_the_way_back():
    weight = head("kaiming-fan-out", 400).weight
    assert weight.std().item() == pytest.approx((2 / 300) ** 0.5, rel=0.02)
    assert abs(weight.mean().item()) < 0.001
    assert weight.abs().max() > 4 * weight.std()  # normal, not uniform


@pytest.mark.parametrize("features", [200, 300, 400])
def test_a_head_may_start_orthogonal(features):
    weight = head("orthogonal", features).weight
    products = weight @ weight.T if features >= 300 else weight.T @ weight
    torch.testing.assert_close(products, torch.eye(len(products)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("how", ["kaiming-fan-out", "orthogonal"])
def test_a_head_is_that_of_the_seed_and_has_no_bias(how):
    one, same, other = (head(how, 50, seed) for seed in (1, 1, 2))
    assert torch.equal(one.weight, same.weight)
    assert not torch.equal(one.weight, other.weight)
    assert not one.bias.any()


# Which weights they are


def test_the_hash_of_weights_is_that_of_their_bytes_by_name():
    network = nn.Linear(3, 2)
    tensors = {name: value.detach().numpy() for name, value in network.named_parameters()}
    digest = sha256(b"biastorch.float32(2,)" + tensors["bias"].tobytes())
    digest.update(b"weighttorch.float32(2, 3)" + tensors["weight"].tobytes())
    assert weights_hash(network) == digest.hexdigest()
    before = weights_hash(nn.BatchNorm1d(2))
    assert weights_hash(nn.BatchNorm1d(2)) == before
    changed = nn.BatchNorm1d(2)
    changed(torch.ones(4, 2))  # the running statistics belong to the state
    assert weights_hash(changed) != before
