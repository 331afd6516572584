"""What the sweepers share: the folder of a sweep, its launches and their one policy. Never imports torch."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from omegaconf import DictConfig
from rich.console import Console

from sweeps.launchers.folders import claim_folder
from sweeps.launchers.scheduler import Policy
from sweeps.record.files import atomic_write
from sweeps.record.lock import owned
from sweeps.record.masking import shown_yaml
from sweeps.record.records import find_runs

CONFIG_NAME = "multirun.yaml"  # Hydra's own name for the composed config of a sweep


class Launches:
    """Gives the jobs of a sweep to its launcher, with one policy for all calls.

    Our launchers take all jobs of a call at once, so that all are checked before the first one runs, and `at_a_time` as
    a limit. Others, under which a policy is invalid, get so many jobs at a time. A job that failed is given to no
    launcher again.
    """

    def __init__(self, launcher: Any, config: DictConfig, at_a_time: int | None = None, *, refuse: bool = True) -> None:
        self._launcher, self._size = launcher, at_a_time
        self.policy = Policy.of(config, at_a_time=at_a_time, refuse=refuse)
        self.is_ours = hasattr(launcher, "policy")
        if self.is_ours:
            launcher.policy = self.policy

    @property
    def has_enough(self) -> bool:
        """Whether there were so many failures that nothing more is to be started."""
        return self.policy.is_enough(0)

    def launch(self, jobs: Sequence[Sequence[str]], first: int = 0) -> list[JobReturn]:
        """The results of jobs that are numbered from `first`; `NotDone` for those that a failure kept from being done.

        Raises:
            ConfigError: some job cannot work; under our launchers none of them was started.
            KeyboardInterrupt: somebody asked to stop.
        """
        numbered = dict(enumerate(jobs, first))
        results = {} if self.is_ours else {at: self.policy.failed[at] for at in numbered if at in self.policy.failed}
        left = [number for number in numbered if number not in results]
        for batch in _batches(left, len(left) if self.is_ours or self._size is None else self._size):
            done = self._launcher.launch([numbered[number] for number in batch], initial_job_idx=batch[0])
            results |= zip(batch, done, strict=False)  # a plan has no results
            self.policy.note(results)
        return [results[number] for number in sorted(results)]


def _batches(numbers: Iterable[int], size: int) -> Iterator[list[int]]:
    """Consecutive numbers, at most `size` of them at a time: a launcher numbers the jobs of a call in a row."""
    batch: list[int] = []
    for number in numbers:
        if batch and (len(batch) == size or number != batch[-1] + 1):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


@contextmanager
def owned_folder(config: DictConfig) -> Iterator[Path]:
    """Inside the block the sweep's folder is there and nobody else's; a sweep that starts nothing leaves none."""
    folder, made = claim_folder(config)
    try:
        with owned(folder):
            yield folder
    finally:
        with contextlib.suppress(OSError):  # there is something in it
            if made and [entry.name for entry in made[0].iterdir()] == [CONFIG_NAME]:
                (made[0] / CONFIG_NAME).unlink()
            for place in made:
                place.rmdir()


def write_config(config: DictConfig, folder: Path) -> None:
    """Write the composed config of the sweep: not resolved, and without secrets."""
    atomic_write(folder / CONFIG_NAME, shown_yaml(config).encode(), private=True)


def summarize(console: Console, folder: Path) -> None:
    """Print the summary of a sweep that has runs."""
    if any(find_runs(folder)):
        from sweeps.results import print_summary  # needs pandas, which takes longer than all of a small sweep

        print_summary(console, folder)
