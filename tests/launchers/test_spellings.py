"""Every way in which Hydra lets a user say where runs go: one right folder, typed again nothing is done twice."""

import signal

import pytest

from sweeps.record.records import Status, find_runs

from .conftest import SMALL

TINY = ("dataset.limit=25", "dataset.test_limit=25", "trainer.epochs=1")
ONE = (*SMALL, *TINY)
TWO = ("-m", "hydra.launcher.workers=0", *ONE, "optim.lr=0.1,0.2")
SEARCH = ("hydra/sweeper=search", "hydra.sweeper.n_trials=2", "hydra.sweeper.sampler=grid")
DIRNAME = ("hydra.job.config.override_dirname.exclude_keys=[{}]").format(
    ",".join(dict.fromkeys(word.partition("=")[0] for word in (*ONE, "sweep.name=")))
)
HERE = "${hydra:runtime.cwd}"

# What is typed, the sweep's folder, and what the folders of its runs are called (None: as by default).
SWEEPS = {
    "sweep": (("sweep.name=study",), "multirun/study", None),
    "output": (("sweep.name=study", "sweep.output=elsewhere"), "elsewhere/study", None),
    "below": (("sweep.name=a/b",), "multirun/a/b", None),
    "interpolated": (("sweep.name=study_${dataset.name}",), "multirun/study_fashion_mnist_mini", None),
    "environment": (("sweep.name=${oc.env:STUDY}",), "multirun/from_env", None),
    "hour": (("sweep.name=x-${now:%Y}",), "multirun/x-*", None),
    "of Hydra": (("sweep.name=${hydra:job.name}",), "multirun/app", None),
    "dir": (("hydra.sweep.dir=folder",), "folder", None),
    "dir of a name": (("hydra.sweep.dir=out/${sweep.name}", "sweep.name=study"), "out/study", None),
    "dir beside a name": (("hydra.sweep.dir=folder", "sweep.name=study"), "folder", None),
    "dir with a quote": (("hydra.sweep.dir='it\\'s, here'",), "it's, here", None),
    "number": (("sweep.name=study", "hydra.sweep.subdir=${hydra.job.num}"), "multirun/study", {"0", "1"}),
    "batches": (
        ("sweep.name=study", "hydra.sweep.subdir=${hydra.job.num}", "hydra.sweeper.max_batch_size=1"),
        "multirun/study",
        {"0", "1"},
    ),
    "dirname": (
        ("sweep.name=study", "hydra.sweep.subdir=${hydra.job.override_dirname}", DIRNAME),
        "multirun/study",
        {"optim.lr=0.1", "optim.lr=0.2"},
    ),
    "nested": (
        ("sweep.name=study", "hydra.sweep.subdir=${model._target_}/${optim.lr}"),
        "multirun/study",
        {"sweeps.vision.models.lenet_bn/0.1", "sweeps.vision.models.lenet_bn/0.2"},
    ),
    "chdir": (("sweep.name=study", "hydra.job.chdir=true"), "multirun/study", None),
    "chdir and number": (
        ("hydra.sweep.dir=folder", "hydra.job.chdir=true", "hydra.sweep.subdir=${hydra.job.num}"),
        "folder",
        {"0", "1"},
    ),
    "output_subdir": (("sweep.name=study", "hydra.output_subdir=.hydra"), "multirun/study", None),
    "callback": (
        ("sweep.name=study", "+hydra.callbacks.log._target_=hydra.experimental.callbacks.LogJobReturnCallback"),
        "multirun/study",
        None,
    ),
    "runtime": (("sweep.name=study", f"dataset.root={HERE}/data"), "multirun/study", None),
    "basic sweeper": (("sweep.name=study", "hydra/sweeper=basic"), "multirun/study", None),
    "search": (("sweep.name=study", *SEARCH), "multirun/study", None),
    "search, dir": (("hydra.sweep.dir=folder", *SEARCH), "folder", None),
    "search, number": (
        ("sweep.name=study", "hydra.sweep.subdir=${hydra.job.num}", *SEARCH),
        "multirun/study",
        {"0", "1"},
    ),
    "search, interpolated": (("sweep.name=s-${dataset.name}", *SEARCH), "multirun/s-fashion_mnist_mini", None),
}
FOREIGN = {
    "basic launcher": (("sweep.name=study",), "multirun/study", None),
    "basic launcher, number": (("hydra.sweep.dir=folder", "hydra.sweep.subdir=${hydra.job.num}"), "folder", {"0", "1"}),
    "basic launcher, interpolated": (("sweep.name=x-${now:%S%f}",), "multirun/x-*", None),
    "both basic": (("sweep.name=study", "hydra/sweeper=basic"), "multirun/study", None),
    "basic launcher, search": (("sweep.name=study", *SEARCH), "multirun/study", None),
    "basic launcher, search, number": (
        ("sweep.name=study", "hydra.sweep.subdir=${hydra.job.num}", *SEARCH),
        "multirun/study",
        {"0", "1"},
    ),
}


def type_twice(sweeps, tmp_path, command, place, names, *, again=True):
    """Do the sweep, see where it is, and that the same command does nothing more."""
    done = sweeps(*command)
    assert done.code == 0, done.text
    (folder,) = tmp_path.glob(place.replace("[", "[[]"))
    found = {str(run.path.relative_to(folder)): run.read() for run in find_runs(tmp_path)}
    assert {record.status for record in found.values()} == {Status.COMPLETED}
    assert {record.config["optim"]["lr"] for record in found.values()} == {0.1, 0.2}
    assert len(found) == 2
    assert all(record.name == name for name, record in found.items())
    if names is None:
        assert all(name.startswith("dataset=fashion_mnist_mini,") and "optim.lr=0." in name for name in found)
    else:
        assert set(found) == names
    if again:
        state = everything(tmp_path)
        done = sweeps(*command)
        assert done.code == 0, done.text
        assert everything(tmp_path) == state, "nothing new, nothing trained again"


def everything(folder):
    """What runs have left, and every folder there is."""
    files = {
        str(path): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
        if path.name in ("run.json", "metrics.jsonl", "weights.safetensors")
    }
    return files, {str(path) for path in folder.rglob("*") if path.is_dir()}


@pytest.mark.parametrize("spelling", SWEEPS)
def test_a_sweep_typed_twice(spelling, sweeps, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY", "from_env")
    words, place, names = SWEEPS[spelling]
    type_twice(sweeps, tmp_path, (*TWO, *words), place, names)


@pytest.mark.parametrize("spelling", FOREIGN)
def test_a_sweep_under_the_launcher_of_Hydra(spelling, sweeps, tmp_path):
    words, place, names = FOREIGN[spelling]
    command = ("-m", *ONE, "optim.lr=0.1,0.2", "hydra/launcher=basic", *words)
    again = "%S%f" not in "".join(words)  # another name at each moment
    type_twice(sweeps, tmp_path, command, place, names, again=again)


@pytest.mark.parametrize(
    "words", [("sweep.name=study",), ("hydra.run.dir=here/x",), ("sweep.name=s", "hydra.job.chdir=true")]
)
def test_a_single_run_typed_twice(words, sweeps, tmp_path):
    assert sweeps(*ONE, *words).code == 0
    state = everything(tmp_path)
    done = sweeps(*ONE, *words)
    assert (done.code, "already complete" in done.text) == (0, True)
    assert everything(tmp_path) == state


@pytest.mark.parametrize("word", ["trainer.batch_size=${dataset.limit}", "optim.lr=1e-1", 'init="kaiming"'])
def test_a_run_of_a_sweep_is_the_single_run_of_the_same_words(word, sweeps, tmp_path):
    assert sweeps("-m", "hydra.launcher.workers=0", "sweep.name=study", *ONE, word).code == 0
    state = everything(tmp_path)
    done = sweeps("sweep.name=study", *ONE, word)
    assert (done.code, "already complete" in done.text) == (0, True), done.text
    assert everything(tmp_path) == state


def test_only_a_sweep_that_nobody_named_is_new_each_time(sweeps, tmp_path):
    for _ in range(2):
        assert sweeps(*TWO).code == 0
    assert len(list(find_runs(tmp_path))) == 4


def test_a_run_knows_its_number_in_the_sweep_whatever_is_left(sweeps, tmp_path):
    command = ("-m", "hydra.launcher.workers=0", "sweep.name=study", *ONE, "optim.lr=0.1,0.2", "seed=${hydra:job.num}")
    assert sweeps(*command).code == 0

    def seeds():
        runs = [run.read() for run in find_runs(tmp_path)]
        return {record.config["optim"]["lr"]: record.config["seed"] for record in runs}

    assert seeds() == {0.1: 0, 0.2: 1}
    state = everything(tmp_path)
    assert sweeps(*command, "hydra.sweeper.max_batch_size=1").code == 0
    assert everything(tmp_path) == state
    done = sweeps(*command, "optim.lr=0.2,0.1")  # other numbers make other runs, which a folder has no room for
    assert (done.code, "other settings" in done.text) == (1, True)
    assert seeds() == {0.1: 0, 0.2: 1}


@pytest.mark.parametrize("launcher", ["local", "basic"])
@pytest.mark.parametrize(
    "words",
    [
        ("hydra.sweep.subdir=x",),
        ("hydra.sweep.subdir=x", "hydra.sweeper.max_batch_size=1"),
        (
            "hydra.sweep.subdir=${hydra.job.override_dirname}",
            DIRNAME.replace("[", "[optim.lr,").replace(",sweep.name]", "]"),
        ),
        ("hydra.sweep.subdir=x", *SEARCH),
    ],
)
def test_two_runs_in_one_folder_are_refused_before_the_first(words, launcher, sweeps, tmp_path):
    done = sweeps("-m", *ONE, "optim.lr=0.1,0.2", "sweep.name=study", f"hydra/launcher={launcher}", *words)
    assert done.code == 1
    assert "optim.lr=0.1 and optim.lr=0.2 would both live in multirun/study/" in done.text
    assert "Traceback" not in done.text
    assert not list(find_runs(tmp_path))


def test_the_rounds_of_halving_share_a_folder_that_is_named_by_all_overrides(sweeps, tmp_path):
    words = ("sweep/pruner=halving", "trainer.epochs=3", "hydra.sweep.subdir=${hydra.job.override_dirname}", DIRNAME)
    done = sweeps(*TWO, "sweep.name=study", *words)
    assert done.code == 0, done.text
    assert "round 2 of 2" in done.text
    assert len(list(find_runs(tmp_path))) == 2


def test_a_run_inside_the_folder_of_another_is_refused(sweeps, tmp_path):
    done = sweeps(*TWO, "sweep.name=study", "hydra.sweep.subdir=run-${hydra.job.num}")
    assert done.code == 0, done.text
    (place, _) = (run.path for run in find_runs(tmp_path))
    for words in (
        (f"hydra.run.dir={place}/x",),
        (f"sweep.name=study/{place.name}",),
        ("-m", f"sweep.name=study/{place.name}"),
    ):
        done = sweeps(*words[:1], *ONE, *words[1:])
        assert (done.code, "lies in the folder of a run" in done.text) == (1, True), done.text
    assert len(list(find_runs(tmp_path))) == 2


@pytest.mark.parametrize("place", ["multirun/study", "multirun"])
def test_a_single_run_hides_no_sweep(place, sweeps, tmp_path):
    assert sweeps(*TWO, "sweep.name=study").code == 0
    state = everything(tmp_path)
    done = sweeps(*ONE, f"hydra.run.dir={place}")
    assert done.code == 1
    assert "is invalid: it holds other runs" in done.text
    assert everything(tmp_path) == state


@pytest.mark.parametrize("subdir", ["", ".", "..", "../x", "/tmp/x", ".hydra", "tensorboard/x"])
def test_a_run_lives_below_its_sweep(subdir, sweeps, tmp_path):
    done = sweeps("-m", "hydra.launcher.workers=0", *ONE, "sweep.name=study", f"hydra.sweep.subdir={subdir}")
    assert done.code == 1
    assert f"hydra.sweep.subdir={subdir} is invalid" in done.text
    assert not list(tmp_path.rglob("run.json"))


def test_no_run_is_written_through_a_link_between_it_and_its_sweep(sweeps, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "multirun" / "study").mkdir(parents=True)
    (tmp_path / "multirun" / "study" / "a").symlink_to(tmp_path / "elsewhere")
    done = sweeps(*TWO, "sweep.name=study", "hydra.sweep.subdir=a/${hydra.job.num}")
    assert done.code == 1
    assert "multirun/study/a is a link, and a sweep writes into its own folder alone" in done.text
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("sweep.output=", "sweep.name=k"),
        ("-m", "sweep.output=", "sweep.name=k"),
        ("-m", "hydra.sweep.dir="),
        ("hydra.run.dir=",),
    ],
)
def test_no_folder_is_no_folder(words, sweeps, tmp_path):
    done = sweeps(*words, *ONE)
    assert done.code == 1
    assert "= is invalid: it names the folder" in done.text
    assert not list(tmp_path.rglob("*"))


def test_the_folder_that_the_command_is_typed_in_stays(sweeps, tmp_path):
    assert sweeps(*ONE, "hydra.run.dir=.", "sweep.checkpoint_every=-1").code == 1
    assert tmp_path.is_dir()


def test_the_folder_that_the_command_is_typed_in_has_a_title(sweeps, tmp_path):
    done = sweeps(*TWO, "hydra.sweep.dir=.")
    assert done.code == 0
    assert f"{tmp_path.name}: 2 runs, 2 to do" in done.text


OF_SWEEPS = [
    ("sweeper", "sweep.repeats=2"),
    ("sweeper", "sweep.zip=[optim.lr,seed]"),
    ("sweeper", "sweep.exclude=[{optim.lr:0.2}]"),
    ("sweeper", "sweep/pruner=halving"),
    ("launcher", "sweep.plan=true"),
    ("launcher", "sweep.retries=2"),
    ("launcher", "sweep.timeout=5"),
    ("launcher", "sweep.stop_after=1"),
    ("launcher", "sweep.on_failure=stop"),
]


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("by", "word"), OF_SWEEPS)
def test_what_nobody_would_honour_is_refused(by, word, both, sweeps, tmp_path):
    other = ("hydra/sweeper=basic", "hydra/launcher=basic") if both else (f"hydra/{by}=basic",)
    done = sweeps("-m", *ONE, "seed=0,1", "optim.lr=0.1,0.2", "sweep.name=study", *other, word)
    assert done.code == 1
    assert f"is invalid with hydra/{by}=basic, which would ignore it" in done.text
    assert "Traceback" not in done.text
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize("word", [*(word for _, word in OF_SWEEPS), "++sweep.retries=1"])
def test_what_only_a_sweep_honours_is_refused_where_it_is_typed_for_one_run(word, sweeps, tmp_path):
    done = sweeps(*ONE, "optim.lr=0.1", "sweep.name=study", word)
    assert done.code == 1
    assert f"{word.partition('=')[0].lstrip('+')}=" in done.text
    assert " needs -m: a single run would ignore it. No run was started" in done.text
    assert "Traceback" not in done.text
    assert not list(tmp_path.rglob("*.json"))


def test_what_a_config_sets_for_its_sweeps_is_no_mistake_of_one_run(sweeps, tmp_path):
    (tmp_path / "experiment").mkdir()
    lines = ("# @package _global_", "sweep: {retries: 2, repeats: 3, exclude: [{seed: 1}], timeout: 600}")
    (tmp_path / "experiment" / "study.yaml").write_text("\n".join(lines))
    done = sweeps("--config-dir", str(tmp_path), *ONE, "experiment=study", "sweep.stop_after=null")
    assert done.code == 0, done.text


@pytest.mark.slow
@pytest.mark.parametrize("spelling", ["dir", "number", "chdir and number", "dirname", "interpolated", "search, number"])
def test_a_killed_sweep_resumes_in_its_folder(spelling, shell):
    words, place, names = SWEEPS[spelling]
    command = ("-m", *SMALL, "trainer.epochs=60", "optim.lr=0.1,0.2", "hydra.launcher.workers=2", *words)
    started = shell.start(*command)
    started.wait_for(lambda: list(shell.folder.rglob("checkpoint.pt")), "the first checkpoint")
    started.send(signal.SIGKILL)
    started.process.wait()
    done = shell(*command)
    assert done.code == 0, done.text
    (folder,) = shell.folder.glob(place)
    runs = {str(run.path.relative_to(folder)): run.read() for run in find_runs(shell.folder)}
    assert {record.status for record in runs.values()} == {Status.COMPLETED}
    assert len(runs) == 2
    assert names is None or set(runs) == names
    state = everything(shell.folder)
    assert shell(*command).code == 0
    assert everything(shell.folder) == state
