"""Every network of timm (PyTorch Image Models), without its classifier: `timm/resnet50.a1_in1k`.

The name is timm's, with the tag of the pretrained weights or without (then timm's default tag).
Weights are loaded strictly, classifier and all, before the classifier is taken off: a file that lacks
a layer is an error. timm itself would leave that layer at random without a word.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from dmlbench import Backbone, ConfigError, DataError, ImageFormat
from torch import nn

if TYPE_CHECKING:
    from timm.models import PretrainedCfg


class TimmModel(Backbone):
    """A network of timm, pretrained unless asked otherwise; features are what its classifier sees.

    Args:
        name: timm's name of the architecture, and of the weights after a dot.
        weights: "default" for the weights of that tag, from the Hugging Face hub or its local cache;
            "none" for a random start; anything else is the path of a safetensors or PyTorch file
            with weights for this architecture.
    """

    paper = "Wightman: PyTorch Image Models, 2019, doi 10.5281/zenodo.4414861"

    def __init__(self, name: str, *, weights: str = "default") -> None:
        self.name = name
        self.weights = weights

    def image_format(self) -> ImageFormat:
        """Return the format that the weights were trained on, in three channels.

        The size is None (the dataset's own) except for networks that take one size only, such as
        vision transformers. A random start also leaves channels to the dataset, with pixels from
        -1 to 1.

        Raises:
            ConfigError: timm knows no such name.
        """
        config = self._config()
        size = config.input_size[-1] if config.fixed_input_size else None
        if self.weights == "none":
            return ImageFormat(size=size, mean=(0.5,), std=(0.5,))
        return ImageFormat(config.input_size[0], size, tuple(config.mean), tuple(config.std))

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Return the network for images of `shape`, in evaluation or training alike without head.

        Raises:
            ConfigError: timm knows no such name, or the network can't take that shape.
            DataError: the weights can't be had, or are not those of this network.
        """
        self._check(shape)
        import timm

        if self.weights == "none":
            network = timm.create_model(self.name, num_classes=0, in_chans=shape[0])
        else:
            network = self._pretrained()
            network.reset_classifier(0)
        # timm's num_features is what enters the head; some heads (MobileNetV3) have a layer more.
        network.num_features = network.head_hidden_size
        return network
