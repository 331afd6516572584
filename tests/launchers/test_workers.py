"""Worker processes, as any Hydra application has them: warm, replaced when they end, apart from each other."""

import os
import time

import pytest
from hydra.core.utils import JobStatus
from hydra.errors import CompactHydraException

from sweeps.launchers.local import launch as local

pytestmark = [
    pytest.mark.usefixtures("hydra_restore_singletons"),
    pytest.mark.filterwarnings("ignore:Future Hydra versions will no longer change working directory:UserWarning"),
]


@pytest.fixture
def launch(hydra_sweep_runner, tmp_path, monkeypatch):
    """Run a function as so many jobs of a Hydra application that is not ours; gives their results."""
    results, real = [], local.launch

    def remembering(*arguments):
        results.extend(real(*arguments))
        return []  # Hydra's sweeper would raise the first failure

    monkeypatch.setattr(local, "launch", remembering)

    def do(task, jobs, *overrides):
        sweep = hydra_sweep_runner(
            calling_file=None,
            calling_module="hydra.test_utils.a_module",
            task_function=task,
            config_path="configs",
            config_name="compose",
            overrides=["hydra/launcher=local", f"+job={','.join(map(str, range(jobs)))}", *overrides],
            temp_dir=tmp_path / "sweep",
        )
        with sweep:
            assert [job.overrides for job in results] == [[f"+job={number}"] for number in range(jobs)]
            return results

    return do


def pid(config):
    return os.getpid()


def test_workers_stay_warm(launch):
    done = launch(pid, 5, "hydra.launcher.workers=1")
    assert len({job.return_value for job in done}) == 1
    assert done[0].return_value != os.getpid()


def test_workers_are_replaced_on_request(launch):
    done = launch(pid, 5, "hydra.launcher.workers=1", "hydra.launcher.recycle_after=2")
    pids = [job.return_value for job in done]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 1]


def test_without_workers_the_jobs_are_done_here(launch):
    assert {job.return_value for job in launch(pid, 3, "hydra.launcher.workers=0")} == {os.getpid()}


def faulty(config):
    if config.job == 1:
        os._exit(7)
    if config.job == 3:
        raise ArithmeticError("no")
    return config.job


def test_a_worker_that_ends_takes_no_other_job_with_it(launch):
    done = launch(faulty, 6, "hydra.launcher.workers=2")
    failed = {number: job._return_value for number, job in enumerate(done) if job.status is JobStatus.FAILED}
    assert failed.keys() == {1, 3}
    assert "exited with code 7" in str(failed[1])
    assert isinstance(failed[3], ArithmeticError)
    assert [job.return_value for job in done if job.status is JobStatus.COMPLETED] == [0, 2, 4, 5]


class Unpicklable(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def peculiar(config):
    if config.job == 0:
        return (value for value in ())
    if config.job == 1:
        raise Unpicklable("one", "two")
    return "fine"


def test_what_cannot_be_pickled_arrives_as_its_text(launch):
    generator, error, fine = launch(peculiar, 3, "hydra.launcher.workers=1")
    assert generator.return_value.startswith("<generator")
    assert error.status is JobStatus.FAILED
    assert "one and two" in str(error._return_value)
    assert fine.return_value == "fine"


def slow_first(config):
    time.sleep(0.5 if config.job == 0 else 0)
    return config.job


def test_results_come_in_the_order_of_the_jobs(launch):
    assert [job.return_value for job in launch(slow_first, 4, "hydra.launcher.workers=2")] == [0, 1, 2, 3]


def interval(config):
    """What a job sees of its slot, and from when to when it had it."""
    began = time.monotonic()
    time.sleep(0.1)
    return os.environ["CUDA_VISIBLE_DEVICES"], os.environ["OMP_NUM_THREADS"], os.getpid(), began, time.monotonic()


@pytest.mark.parametrize("runs_per_gpu", [1, 2])
def test_assignments_never_collide(launch, monkeypatch, runs_per_gpu):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    done = [job.return_value for job in launch(interval, 15, f"hydra.launcher.runs_per_gpu={runs_per_gpu}")]
    assert {gpu for gpu, *_ in done} == {"0", "1", "2"}, "each worker sees one"
    assert len({worker for _, _, worker, *_ in done}) == 3 * runs_per_gpu
    share = str(max(1, len(os.sched_getaffinity(0)) // (3 * runs_per_gpu)))
    assert {threads for _, threads, *_ in done} == {share}
    for gpu, _, worker, began, _ in done:
        together = [other for other in done if other[3] <= began < other[4]]
        assert sum(other[0] == gpu for other in together) <= runs_per_gpu
        assert sum(other[2] == worker for other in together) == 1, "one run at a time in a worker"


def test_a_slot_that_another_program_uses_is_not_ours(launch, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")  # as a batch system says it
    done = [job.return_value for job in launch(interval, 4)]
    assert {gpu for gpu, *_ in done} == {"1"}
    assert len({worker for _, _, worker, *_ in done}) == 1


def test_a_bad_number_of_runs_for_a_worker(launch):
    with pytest.raises(CompactHydraException, match=r"hydra\.launcher\.recycle_after=0 is invalid: at least 1"):
        launch(pid, 2, "hydra.launcher.recycle_after=0")


def test_no_setup_is_too_large_for_a_worker_that_is_killed_as_it_starts():
    """What does not fit into a pipe would leave the parent waiting for a child that is gone."""
    from sweeps.launchers.local import pool
    from sweeps.launchers.local.slots import Slot

    setup = bytes(1 << 20)
    with pool.Pool([Slot("cpu 0", {})], setup) as workers:
        (worker,) = workers.workers
        file = worker._setup
        assert file.read_bytes() == setup
        assert file.stat().st_mode & 0o077 == 0
        worker.submit("task", "run", {})
        worker._process.kill()
        events = []
        while not events:
            events = workers.poll(1.0)
        assert [event.kind for event in events] == ["died"]
        worker.finish()
    assert not file.exists()
