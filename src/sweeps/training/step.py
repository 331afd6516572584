"""What is done with one batch, apart from when it is done."""

from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from sweeps.training.engine import Engine
from sweeps.training.metrics import Totals
from sweeps.training.schedules import Schedule


class Step:
    """One training or evaluation step of one network. Nothing here makes the host wait for the device."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        *,
        engine: Engine,
        schedule: Schedule,
        total_steps: int,
        clip_norm: float | None = None,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.steps = 0  # done so far, over all epochs
        self.total_steps = total_steps
        self.engine = engine
        self._forward = engine.forward_of(network)
        self._schedule = schedule
        self._clip_norm = clip_norm
        self._base_lr: float = optimizer.defaults["lr"]

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self._base_lr * self._schedule(self.steps / self.total_steps)

    def train(self, images: Tensor, labels: Tensor, totals: Totals) -> None:
        """Move the weights once: `images` [B, C, H, W], `labels` [B]."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr
        logits = self.forward(images)
        loss = F.cross_entropy(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self._clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self._clip_norm)
        self.optimizer.step()
        self.steps += 1
        totals.add(logits, labels, loss)

    def evaluate(self, images: Tensor, labels: Tensor, totals: Totals) -> None:
        """Measure only; call it in evaluation and inference mode."""
        logits = self.forward(images)
        totals.add(logits, labels, F.cross_entropy(logits, labels))

    def forward(self, images: Tensor) -> Tensor:
        """The logits [B, classes] of `images` [B, C, H, W], in single precision whatever they were computed in."""
        with self.engine.autocast():
            logits: Tensor = self._forward(self.engine.images(images))
        return logits.float()
