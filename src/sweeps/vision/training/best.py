"""The weights of a run's best epoch, kept while it trains: where patience stops it, they are what was wanted."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class BestWeights:
    """A copy of the weights and buffers, on the CPU, after the epoch with the best figure of `metric` so far."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.epoch: int | None = None
        self.gain = -math.inf
        self.network: dict[str, Tensor] = {}

    def offer(self, epoch: int, gain: float, network: nn.Module) -> None:
        """Copy the weights after `epoch` if its `gain` is the largest so far; of equal ones the first is kept."""
        if gain > self.gain:
            self.epoch, self.gain = epoch, gain
            self.network = {name: value.detach().to("cpu", copy=True) for name, value in network.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"metric": self.metric, "epoch": self.epoch, "gain": self.gain, "network": self.network}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what a checkpoint holds; weights that were chosen by another metric do not compare."""
        if state["metric"] == self.metric:
            self.epoch, self.gain = state["epoch"], state["gain"]
            self.network = {name: value.cpu() for name, value in state["network"].items()}
