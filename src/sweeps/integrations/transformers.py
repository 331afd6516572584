"""A run of a sweep for Hugging Face's Trainer. Needs `pip install 'hydra-sweeps[transformers]'`.

    run, callback = sweeps.current_run(), SweepsCallback()
    args = TrainingArguments(output_dir=run.dir / "trainer", save_strategy="epoch", ...)
    trainer = Trainer(args=args, callbacks=[callback], ...)
    trainer.train(resume_from_checkpoint=callback.checkpoint)

Whatever the trainer logs is reported at its global step; a run resumes from the checkpoint folders that it saves.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from transformers import TrainerCallback

import sweeps
from sweeps.errors import ConfigError

# What the clock says tells nothing of a setting, and would differ from run to run.
_OF_THE_CLOCK = ("_runtime", "_per_second")


class SweepsCallback(TrainerCallback):
    """Reports what the trainer logs and names the checkpoint to resume from; outside a sweep it does nothing.

    Make it before the trainer. A step is one of the trainer's global steps. The last two checkpoint folders are kept at
    least, since a run may be killed between the trainer's checkpoint and its report.
    """

    def __init__(self) -> None:
        self._run = sweeps.current_run()
        self._saved = ""  # the last checkpoint folder, relative to that of the run
        self._is_saved = False  # whether it belongs to the step that is not reported yet
        self._metrics: dict[str, float] = {}
        self._step = 0
        if self._run.in_sweep:
            self._run.restore(transformers=self)

    @property
    def checkpoint(self) -> str | None:
        """The trainer's checkpoint folder to resume from, or None, for `train(resume_from_checkpoint=...)`."""
        return str(self._run.dir / self._saved) if self._saved else None

    def state_dict(self) -> dict[str, Any]:
        """Where the trainer's last checkpoint is."""
        return {"checkpoint": self._saved}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Find the trainer's checkpoint; it has to be a folder of the run itself."""
        name = PurePosixPath(str(state["checkpoint"]))
        path = self._run.dir / name
        if name.is_absolute() or ".." in name.parts or path.resolve() != self._run.dir.resolve() / name:
            raise ValueError(f"{name} is no folder of the run")
        if not (path / "trainer_state.json").is_file():
            raise ValueError(f"{path} is gone")
        self._saved = str(name)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """See that the trainer saves where the run is resumed from, and that it resumes there."""
        if not self._run.in_sweep:
            return
        if not Path(args.output_dir).resolve().is_relative_to(self._run.dir.resolve()):
            raise ConfigError(
                f"TrainingArguments(output_dir={str(args.output_dir)!r}) is outside of the run's folder, where another "
                "run may write as well: make it sweeps.current_run().dir / 'trainer'"
            )
        if self._saved and state.global_step == 0:
            raise ConfigError("the run has a checkpoint: call train(resume_from_checkpoint=callback.checkpoint)")
        if args.save_total_limit == 1:
            args.save_total_limit = 2
        self._step = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Keep what is logged until all of this step has been."""
        if logs and "train_runtime" not in logs:  # else the summary at the end, over this attempt alone
            self._step = state.global_step
            self._metrics |= {name: value for name, value in logs.items() if not name.endswith(_OF_THE_CLOCK)}

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note the checkpoint, which is whole now."""
        if self._run.in_sweep:
            folder = Path(args.output_dir).resolve() / f"checkpoint-{state.global_step}"
            self._saved = folder.relative_to(self._run.dir.resolve()).as_posix()
            self._is_saved, self._step = True, state.global_step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The step before is over: report it."""
        self._report()
        self._run.progress(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save before the run is stopped."""
        if self._run.stop_requested:
            control.should_save = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report the last step."""
        self._report()

    def _report(self) -> None:
        if self._metrics or self._is_saved:
            metrics, saved = self._metrics, self._is_saved
            self._metrics, self._is_saved = {}, False
            self._run.report(metrics, step=self._step, checkpoint=saved)
