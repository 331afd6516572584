"""The launches of one sweep: whatever their number, the policy and the checks before the first run hold for all."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from sweeps.launchers.scheduler import Policy


class Launches:
    """Gives the jobs of a sweep to its launcher, with one policy for all calls.

    Our launchers take all jobs of a call at once, so that all are checked before the first one runs, and `at_a_time` as
    a limit. Others, under which a policy is invalid, get so many jobs at a time. A job that failed is given to no
    launcher again.
    """

    def __init__(self, launcher: Any, config: DictConfig, at_a_time: int | None = None, *, refuse: bool = True) -> None:
        self._launcher, self._size = launcher, at_a_time
        self.policy = Policy.of(config, at_a_time=at_a_time, refuse=refuse)
        self._is_ours = hasattr(launcher, "policy")
        if self._is_ours:
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
        results = {} if self._is_ours else {at: self.policy.failed[at] for at in numbered if at in self.policy.failed}
        left = [number for number in numbered if number not in results]
        for batch in _batches(left, len(left) if self._is_ours or self._size is None else self._size):
            done = self._launcher.launch([numbered[number] for number in batch], initial_job_idx=batch[0])
            results |= zip(batch, done, strict=False)  # a plan has no results
            self.policy.note(results)
        return [results[number] for number in sorted(results)]


def _batches(numbers: Iterable[int], size: int) -> Iterator[list[int]]:
    """Consecutive numbers, at most `size` of them at a time: a launcher counts on from the first one."""
    batch: list[int] = []
    for number in numbers:
        if batch and (len(batch) == size or number != batch[-1] + 1):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
