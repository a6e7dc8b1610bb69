"""A loss that takes its time in jobs, so that something can happen to a trial that is under way."""

import os
import time

import torch
from torch import Tensor, nn

from dmlbench import Loss, Pairs, Selection


class Dawdling(Loss):
    """A softmax over one proxy a class, with a break at each step."""

    takes = "labels"

    def __init__(self, *, num_classes: int, embedding_dim: int):
        super().__init__()
        self.proxies = nn.Parameter(torch.randn(num_classes, embedding_dim))

    def forward(self, pairs: Pairs, selection: Selection | None) -> Tensor:
        if "SUBMITIT_EXECUTOR" in os.environ:
            time.sleep(0.05)
        return nn.functional.cross_entropy(pairs.anchors @ self.proxies.T, pairs.labels)
