"""The weights of a run's best epoch, kept while it trains: where patience stops it, they are what was wanted."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class BestWeights:
    """A copy of the weights and buffers, on the CPU, after the epoch with the best value of the pruner's metric so far.

    It stays empty where no `patience` may need it, or no weights are to be saved.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        pruner = config["sweep"]["pruner"]
        self.metric = str(pruner["metric"])
        self._is_wanted = str(pruner["_target_"]).endswith("PatientPruner") and config["trainer"]["save_weights"]
        self._sign = -1.0 if pruner["direction"] == "min" else 1.0
        self.epoch: int | None = None
        self.gain = -math.inf
        self.network: dict[str, Tensor] = {}

    def offer(self, epoch: int, row: Mapping[str, float], network: nn.Module) -> None:
        """Copy the weights after `epoch` if its value is the best so far; of equal ones the first is kept."""
        if self._is_wanted and (gain := self._sign * row[self.metric]) > self.gain:
            self.epoch, self.gain = epoch, gain
            self.network = {name: value.detach().to("cpu", copy=True) for name, value in network.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        if self.epoch is None:
            return {}
        return {"metric": self.metric, "epoch": self.epoch, "gain": self.gain, "network": self.network}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what a checkpoint holds; weights that were chosen by another metric do not compare."""
        if self._is_wanted and state.get("metric") == self.metric:
            self.epoch, self.gain = state["epoch"], state["gain"]
            self.network = {name: value.cpu() for name, value in state["network"].items()}
