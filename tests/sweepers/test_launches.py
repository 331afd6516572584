"""The launches of a sweep: one policy, one numbering, however many there are."""

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from sweeps.config import SweepConfig
from sweeps.sweepers.launches import Launches


class Launcher:
    """Not one of ours: takes jobs, gives results; the jobs in `bad` fail."""

    def __init__(self, bad=()):
        self.bad, self.calls = bad, []

    def launch(self, jobs, initial_job_idx):
        self.calls.append((initial_job_idx, [job[0] for job in jobs]))
        return [self.do(job) for job in jobs]

    def do(self, job):
        status, value = (JobStatus.FAILED, ValueError()) if job[0] in self.bad else (JobStatus.COMPLETED, 0.5)
        return JobReturn(overrides=list(job), status=status, _return_value=value)


def jobs(names):
    return [[name] for name in names]


def launches(launcher, size=None, **policy):
    return Launches(launcher, OmegaConf.create({"sweep": OmegaConf.structured(SweepConfig(**policy))}), size)


def returned(launcher_results):
    return [type(result._return_value).__name__ for result in launcher_results]


def test_a_job_that_failed_is_not_given_to_a_launcher_again_and_the_others_keep_their_numbers():
    launcher = Launcher(bad="c")
    sweep = launches(launcher, 2)
    assert returned(sweep.launch(jobs("abcde"))) == ["float", "float", "ValueError", "float", "float"]
    assert returned(sweep.launch(jobs("abcde"))) == ["float", "float", "ValueError", "float", "float"]
    assert launcher.calls == [(0, ["a", "b"]), (2, ["c", "d"]), (4, ["e"]), (0, ["a", "b"]), (3, ["d", "e"])]


def test_one_of_ours_gets_all_jobs_at_once_with_the_policy_of_the_sweep():
    launcher = Launcher(bad="ab")
    launcher.policy = None
    sweep = launches(launcher, 1, stop_after=3)
    sweep.launch(jobs("abc"))
    assert launcher.calls == [(0, ["a", "b", "c"])]
    assert launcher.policy.at_a_time == 1
    assert not launcher.policy.is_enough(0)
    assert launcher.policy.is_enough(1), "with the two of the first launch"
    assert set(launcher.policy.failed) == {0, 1}
