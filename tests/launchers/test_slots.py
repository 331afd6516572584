"""Where runs can go: no two on one slot, no more threads than cores, no GPU that is not there."""

import itertools
from collections import Counter

import pytest

from sweeps.errors import ConfigError
from sweeps.launchers.local import slots
from sweeps.launchers.local.slots import make_slots, visible_gpus


@pytest.fixture
def machine(monkeypatch):
    """Pretend to have so many cores and these GPUs."""

    def pretend(cores=8, gpus=None, memory=1 << 40):
        monkeypatch.setattr(slots, "available_cores", lambda: cores)
        monkeypatch.setattr(slots, "available_memory", lambda: memory)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus or "")

    return pretend


def threads_of(made):
    return [int(slot.environment["OMP_NUM_THREADS"]) for slot in made]


def gpus_of(made):
    return [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in made]


@pytest.mark.parametrize("gpus", ["", "0,1,2"])
@pytest.mark.parametrize("threads", [None, 1, 2])
def test_never_more_threads_than_cores_nor_more_slots_than_jobs(machine, gpus, threads):
    for cores, jobs, runs_per_gpu in itertools.product((2, 3, 8, 64), (1, 2, 5, 100), (1, 4)):
        machine(cores, gpus)
        made = make_slots(jobs=jobs, runs_per_gpu=runs_per_gpu, threads=threads)
        assert len({slot.name for slot in made}) == len(made), "a slot is told from every other by its name"
        if gpus:
            assert len(made) == min(jobs, 3 * runs_per_gpu)
            assert threads is not None or sum(threads_of(made)) <= max(cores, len(made))
        else:
            assert len(made) == min(jobs, cores // (threads or 1)), "none is left idle"
            assert sum(threads_of(made)) <= cores
        assert threads is None or set(threads_of(made)) == {threads}


def test_the_cores_are_divided_among_the_workers(machine):
    machine(cores=16)
    assert threads_of(make_slots(jobs=100, workers=4)) == [4, 4, 4, 4]
    assert threads_of(make_slots(jobs=3)) == [5, 5, 5]
    assert threads_of(make_slots(jobs=100)) == [1] * 16
    assert threads_of(make_slots(jobs=100, workers=2, threads=3)) == [3, 3]


def test_little_memory_means_fewer_workers_with_the_same_threads(machine):
    machine(cores=16, memory=4 << 30)
    assert threads_of(make_slots(jobs=100)) == [1, 1, 1, 1], "another number of threads would change the last bits"
    machine(cores=16, memory=1)
    assert len(make_slots(jobs=100)) == 1
    assert len(make_slots(jobs=100, workers=3)) == 3, "who names a number gets it"


@pytest.mark.parametrize("given", ["0", "0,1,2", " 3 , 5 ", "GPU-8f1a,GPU-77c0"])
@pytest.mark.parametrize("runs_per_gpu", [1, 2, 4])
def test_every_worker_sees_one_gpu_and_every_gpu_has_its_share(machine, given, runs_per_gpu):
    machine(gpus=given)
    names = [name.strip() for name in given.split(",")]
    assert visible_gpus() == names
    made = make_slots(jobs=1000, runs_per_gpu=runs_per_gpu)
    assert Counter(gpus_of(made)) == dict.fromkeys(names, runs_per_gpu)
    assert len({slot.name for slot in made}) == len(made)


@pytest.mark.parametrize("jobs", [1, 2, 3, 4, 5, 6])
def test_few_runs_are_spread_over_the_gpus_before_they_share_one(machine, jobs):
    machine(gpus="0,1,2")
    shares = Counter(gpus_of(make_slots(jobs=jobs, runs_per_gpu=2)))
    assert len(shares) == min(jobs, 3)
    assert max(shares.values()) - min(shares.values()) <= 1


def test_which_gpus_are_used_can_be_chosen(machine):
    machine(gpus="4,5,6,7")
    assert gpus_of(make_slots(jobs=9, gpus=2)) == ["4", "5"]
    assert gpus_of(make_slots(jobs=9, device="cuda:2")) == ["6"], "an index counts what is visible"
    assert gpus_of(make_slots(jobs=9, workers=3)) == ["4", "5", "6"]
    assert gpus_of(make_slots(jobs=2, device="cuda")) == ["4", "5"]


@pytest.mark.parametrize("choice", [{"gpus": 0}, {"device": "cpu"}])
def test_a_sweep_on_the_cpu_hides_the_gpus(machine, choice):
    machine(gpus="0,1")
    assert set(gpus_of(make_slots(jobs=4, **choice))) == {""}


@pytest.mark.parametrize("given", ["", "-1", " ", ","])
def test_gpus_that_are_hidden_are_not_there(monkeypatch, given):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_gpus() == []


def test_a_machine_without_the_drivers_tool_has_no_gpus(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", "")
    assert visible_gpus() == []


@pytest.mark.parametrize(("content", "expected"), [("echo 0; echo 1", ["0", "1"]), ("echo broken; exit 9", [])])
def test_the_drivers_tool_is_asked_what_is_there(monkeypatch, tmp_path, content, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{content}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert visible_gpus() == expected


def test_no_workers_means_this_process(machine):
    machine(gpus="0,1")
    assert make_slots(jobs=5, workers=0) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, r"hydra\.launcher\.workers=-1 is invalid: at least 0"),
        ({"gpus": -1}, r"hydra\.launcher\.gpus=-1 is invalid: at least 0"),
        ({"runs_per_gpu": 0}, r"hydra\.launcher\.runs_per_gpu=0 is invalid: at least 1"),
        ({"threads": 0}, r"hydra\.launcher\.threads=0 is invalid: at least 1"),
        ({"threads": 9}, r"hydra\.launcher\.threads=9 is invalid: there are 8 cores"),
        ({"gpus": 3}, r"hydra\.launcher\.gpus=3 is invalid: 2 are visible"),
        ({"workers": 3}, r"hydra\.launcher\.workers=3 is invalid: the GPUs have 2 slots; .*runs_per_gpu"),
        ({"device": "cuda:2"}, r"device=cuda:2: there is no such CUDA device; 2 are visible"),
    ],
)
def test_what_the_machine_does_not_have_is_an_error_with_its_name(machine, options, message):
    machine(cores=8, gpus="0,1")
    with pytest.raises(ConfigError, match=message):
        make_slots(jobs=4, **options)
