"""A run of a sweep for Lightning: `Trainer(callbacks=[SweepsCallback()])`; `pip install 'hydra-sweeps[lightning]'`.

Each epoch is a report of all that was logged, and the trainer's own checkpoint is what is saved and restored: model,
optimizers, schedulers, loops and the states of the other callbacks.
"""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sweeps
from sweeps.errors import ConfigError

if TYPE_CHECKING or "pytorch_lightning" not in sys.modules or "lightning.pytorch" in sys.modules:
    from lightning.pytorch import Callback
else:  # the same package under its older name, whose classes are others
    from pytorch_lightning import Callback


class SweepsCallback(Callback):
    """Restores a run where `fit` starts, and reports its metrics after each epoch; outside a sweep it does nothing.

    A step is an epoch. Validation within an epoch is reported as well, at a fraction of a step; a run that is killed
    resumes from the end of the last whole epoch. A run in several processes (DDP) is reported, but starts again.
    """

    def __init__(self) -> None:
        self._run = sweeps.current_run()
        self._reported = 0
        self._of_validation: set[str] = set()  # names that validation logs
        self._before: set[str] = set()
        self._has_validated = False

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Hand the checkpoint of the run to the trainer, which restores everything from it in its own time."""
        self._run = sweeps.current_run()
        if stage == "fit" and self._run.in_sweep and trainer.world_size == 1:
            self._checkpoint = _Checkpoint(trainer)
            self._reported = int(self._run.restore(lightning=self._checkpoint))

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """See that nothing else was restored meanwhile."""
        if self._reported and not self._checkpoint.is_pending:
            raise ConfigError("fit(ckpt_path=...) takes the place of the run's own checkpoint: leave it out in a sweep")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The next epoch is one like any other: Lightning would finish the one that its own checkpoints lie within."""
        if self._reported:
            loop = trainer.fit_loop
            loop.epoch_loop.restarting = False
            loop._restarting = False  # its setter would take it back where max_epochs is -1
            for part in (loop, loop.epoch_loop, loop.epoch_loop.val_loop):
                part.reset_restart_stage()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Note what training alone has logged."""
        self._before = set(trainer.callback_metrics)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Report validation within an epoch."""
        if trainer.sanity_checking:
            return
        self._of_validation |= set(trainer.callback_metrics) - self._before
        self._has_validated = True
        batches, done = trainer.num_training_batches, trainer.fit_loop.batch_idx + 1
        if self._run.in_sweep and done < batches < float("inf"):
            found = {name: value for name, value in trainer.callback_metrics.items() if name in self._of_validation}
            self._run.report(found, step=trainer.current_epoch + done / batches, checkpoint=False)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Report the epoch before: here everything that belongs to it, schedulers included, has been done."""
        self._report(trainer, checkpoint=True)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Report the last epoch. A run that is killed from here on does that epoch again."""
        self._report(trainer, checkpoint=False)

    def _report(self, trainer: Any, *, checkpoint: bool) -> None:
        done = trainer.fit_loop.epoch_progress.current.processed
        if self._run.in_sweep and done > self._reported:
            self._reported = done
            # Lightning keeps the metrics of an earlier validation, which are no news.
            old = set() if self._has_validated else self._of_validation
            self._has_validated = False
            metrics = {name: value for name, value in trainer.callback_metrics.items() if name not in old}
            self._run.report(metrics, step=done, checkpoint=checkpoint)


class _Checkpoint:
    """The trainer's checkpoint as `Run.restore` takes it."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._connector = trainer._checkpoint_connector
        self._state: Mapping[str, Any] | None = None

    @property
    def is_pending(self) -> bool:
        """Whether the trainer is about to restore the state that was loaded here."""
        return self._state is not None and self._connector._loaded_checkpoint is self._state

    def state_dict(self) -> dict[str, Any]:
        """All that the trainer would write into a file, but for hyper-parameters, which are in the config."""
        state: dict[str, Any] = self._connector.dump_checkpoint(weights_only=False)
        for owner in (self._trainer.lightning_module, self._trainer.datamodule):
            for kind in ("NAME", "KEY", "TYPE"):
                state.pop(getattr(owner, f"CHECKPOINT_HYPER_PARAMS_{kind}", ""), None)
        for progress in state["loops"]["fit_loop"]["epoch_progress"].values():
            progress["ready"] = progress["started"]  # it is made as an epoch starts, and stands for the one before
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the trainer find `state` where it would have put what it reads from a file."""
        self._state = self._connector._loaded_checkpoint = state
