"""What scripts/fuzz.py puts its inputs before: every reader of a run folder, every parser of what somebody types."""

import contextlib
import csv
import gzip
import io
import itertools
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from fuzz_input import NASTY_TEXTS, Content, Example
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweeps import checkpoint, summarize, watch
from sweeps.config import SweepConfig
from sweeps.decision import decide
from sweeps.errors import ConfigError
from sweeps.launchers.slurm.ledger import Ledger, Submission
from sweeps.launchers.slurm.queue import Entry
from sweeps.pruners.report_log import LOG_NAME, Report, ReportLog
from sweeps.record.files import read_bytes, read_json, to_json
from sweeps.record.identity import labels, run_name, sweep_folder
from sweeps.record.lock import LOCK_NAME, owned, owner_of
from sweeps.record.processes import Process, this_process
from sweeps.record.provenance import invocations_of
from sweeps.record.recording import new_record
from sweeps.record.records import Failure, Objective, RunDir, RunRecord, Status, find_runs
from sweeps.record.resolved import Resolved, resolve
from sweeps.record.rows import parse_row
from sweeps.results.compare import right_answers
from sweeps.results.runs import Objective as Ranked
from sweeps.sweepers.expansion import expand
from sweeps.sweepers.search.axes import values_in
from sweeps.sweepers.search.space import space_of
from sweeps.vision import confusion
from sweeps.vision.config import conf_dir, register_schema

GRAMMAR = (HydraException, OmegaConfBaseException)  # Hydra's own errors, which have a sentence


@dataclass(frozen=True)
class Target:
    """`call(folder, arguments)` on inputs near to `example()`; errors in `allowed` are answers as well."""

    example: Callable[[], Example]
    call: Callable[[Path, Sequence[str]], object]
    allowed: tuple[type[BaseException], ...] = ()


def warm_up(target: str) -> None:
    """Import what the target needs and see that it takes a valid input, so that no import counts as a slow answer."""
    one = TARGETS[target]
    example = one.example()
    with (
        tempfile.TemporaryDirectory() as place,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        from fuzz_input import Input

        Input(dict(example.files)).write(Path(place))
        with contextlib.suppress(Exception):
            one.call(Path(place), [])


# valid files


@cache
def composed() -> Any:
    """The config of a small run, Hydra's own node included."""
    import hydra

    register_schema()
    words = [
        "model=lenet_bn",
        "dataset=fashion_mnist_mini",
        "dataset.limit=50",
        "dataset.test_limit=20",
        "trainer.batch_size=25",
        "trainer.epochs=2",
        "trainer.threads=1",
        "sweep/tracker=none",
        "device=cpu",
        "sweep.name=study",
    ]
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose("config", overrides=words, return_hydra_config=True)


@cache
def resolved() -> Resolved:
    """The same as plain data, with its identity."""
    from sweeps.launchers.folders import hydra_config
    from sweeps.launchers.inspection import without_hydra

    whole = composed().copy()
    with hydra_config(whole, Path("/nowhere/run")):
        return resolve(without_hydra(whole), ())


def config() -> dict[str, Any]:
    """The same, the plain data alone."""
    return resolved().config


def row(step: int) -> dict[str, Any]:
    """A line of metrics."""
    figures = {f"{split}_{kind}": 0.5 + step / 10 for split in ("train", "test") for kind in ("loss", "acc")}
    return {"step": step, "elapsed": 1.5 * step, "lr": 0.1, **figures, "examples_per_second": 1000.0}


def record(status: Status = Status.COMPLETED, seed: int = 0) -> RunRecord:
    """The record of a run of two epochs."""
    of = replace(resolved(), config={**config(), "seed": seed}, seed=seed, run_id=f"{seed:012}")
    made = new_record(of, name=f"model=lenet_bn,seed={seed}", sweep="study", overrides=[f"seed={seed}"])
    process = this_process() if status is Status.RUNNING else Process("elsewhere/0", 7, "123")
    return replace(
        made,
        status=status,
        objective=Objective("test_acc", "max", "test", "last", 0.7 + seed / 100),
        steps=2,
        seconds=3.0,
        metrics={"last": row(2), "best": row(2)},
        facts={"parameters": 44_000, "forward_macs": 280_000, "optimizer": "sgd", "examples_per_second": 1000.0},
        started="2026-01-31T12:00:00+01:00",
        ended="2026-01-31T12:00:09+01:00",
        process=process,
        attempts=1,
        environment={
            "command": ["app.py", "-cd", "conf"],
            "packages": {"torch": "2.10"},
            "git": {"commit": "1", "dirty": True},
        },
        error=Failure("error", "ValueError: x", "Traceback", "try again") if status is Status.FAILED else None,
    )


def first_record() -> bytes:
    """A record as release 0.1 wrote it."""
    of = json.loads(record().to_json())
    old = {key: of[key] for key in ("run_id", "name", "sweep", "status", "overrides", "seconds", "started", "ended")}
    figures = {"epoch": 2, "test_acc": 0.7}
    return json.dumps(
        old
        | {
            "schema_version": 1,
            "objective": {"metric": "test_acc", "direction": "max", "epoch": "last", "split": "test", "value": 0.7},
            "config": {**config(), "sweep": "study", "trainer": {"epochs": 2}},
            "epochs": 2,
            "metrics": {"last": figures, "best": figures},
            "parameters": 44_000,
            "examples_per_second": 10.0,
            "environment": of["environment"],
            "process": of["process"],
            "attempts": 1,
        }
    ).encode()


def lines(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows as a file."""
    return b"".join(to_json(one).encode() + b"\n" for one in rows)


def the_confusion() -> bytes:
    """A `confusion.json`."""
    names = ["a", "b", "c"]
    pair = confusion.Pair(0, 1, 2, [confusion.PNG + b"rest"])
    with tempfile.TemporaryDirectory() as folder:
        confusion.write(Path(folder), confusion.Confusion("test", 2, names, [[3, 2, 1], [0, 6, 0], [1, 1, 4]], [pair]))
        return (Path(folder) / confusion.NAME).read_bytes()


def predictions() -> bytes:
    """A `predictions.safetensors`."""
    import numpy as np
    from safetensors.numpy import save

    return save({"test": np.arange(20, dtype=np.uint8) % 3, "test_labels": np.arange(20, dtype=np.uint8) % 4})


def invocations() -> bytes:
    """A `sweep.json`."""
    one = {
        "began": "2026",
        "folder": "/x",
        **record().environment,
        "platform": "p",
        "python": "3",
        "device": "d",
        "diff": "+x",
    }
    return json.dumps({"invocations": [one, one]}).encode()


@cache
def sweep_files() -> dict[str, Content]:
    """A sweep of four runs."""
    files: dict[str, Content] = {"sweep.json": invocations()}
    for seed, status in enumerate((Status.COMPLETED, Status.COMPLETED, Status.RUNNING, Status.FAILED)):
        place = f"model=lenet_bn,seed={seed}"
        files[f"{place}/run.json"] = record(status, seed).to_json().encode()
        files[f"{place}/metrics.jsonl"] = lines([row(1), row(2)])
        files[f"{place}/confusion.json"] = the_confusion()
        files[f"{place}/predictions.safetensors"] = predictions()
    other = replace(
        record(Status.PRUNED, 0), setting_id="b" * 12, config={**config(), "optim": {**config()["optim"], "lr": 0.5}}
    )
    files["optim.lr=0.5/run.json"] = other.to_json().encode()
    files["optim.lr=0.5/metrics.jsonl"] = lines([row(1)])
    return files


def sweep_example(words: st.SearchStrategy[list[str]] | None = None) -> Example:
    """The whole sweep; its files may be changed, and some added."""
    files = dict(sweep_files())
    changed = [
        *files,
        "model=lenet_bn,seed=0/run.json",
        "model=lenet_bn,seed=2/run.json",
        "pruning.jsonl",
        "report",
        "report.html",
    ]
    changed += [f"{LOCK_NAME}/0123", LOCK_NAME, ".slurm/submission-1-a.json", ".slurm", "new/run.json"]
    return Example(files, tuple(changed), st.just([]) if words is None else words)


def file_example(name: str, content: bytes, *more: str) -> Callable[[], Example]:
    """One file that may be changed."""
    return lambda: Example({name: content}, (name, *more))


# what somebody types


KEYS = (
    "model",
    "optim.lr",
    "seed",
    "+optim.x",
    "~optim",
    "model._target_",
    "optim@x",
    "sweep.zip",
    "sweep.exclude",
    "sweep.repeats",
    "sweep.name",
    "sweep/pruner",
    "sweep.pruner._target_",
    "hydra.sweep.dir",
    "hydra.job.chdir",
    "trainer.epochs",
    "resize",
    "a.b.c",
    "",
)
NUMBERS = (
    "0",
    "1",
    "-1",
    "0.1",
    "1e-3",
    "1e308",
    "1e400",
    "-inf",
    "inf",
    "nan",
    "999999999999",
    "1e-400",
    "0x10",
    "1_000",
)


def elements() -> st.SearchStrategy[str]:
    """A value in Hydra's grammar, or nearly."""
    numbers = st.sampled_from(NUMBERS)
    simple = st.one_of(
        numbers,
        st.sampled_from(
            ("nin", "true", "null", "'a b'", '"x"', "a=b", "${oc.env:HOME}", "${x}", "[1,2]", "{a:1}", "???", "\\,", "")
        ),
        st.sampled_from(NASTY_TEXTS[:-4]),
        st.text(alphabet="ab0.,=()[]{}'\"$\\:@~+- ", max_size=10),
    )
    ranges = st.lists(numbers, min_size=1, max_size=3).map(lambda of: f"range({','.join(of)})")
    steps = st.tuples(numbers, numbers, numbers).map(lambda of: f"range({of[0]},{of[1]},step={of[2]})")
    intervals = st.tuples(numbers, numbers).map(lambda of: f"interval({of[0]},{of[1]})")
    globs = st.sampled_from(("glob(*)", "glob([a*,b*],exclude=a)", "glob(**)"))

    def wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        several = st.lists(inner, min_size=1, max_size=4).map(",".join)
        names = st.sampled_from(
            ("choice", "shuffle", "sort", "int", "float", "str", "bool", "tag", "json_str", "extend_list")
        )
        calls = st.tuples(names, several).map(lambda of: f"{of[0]}({of[1]})")
        tags = inner.map(lambda of: f"tag(log,{of})")
        lists = several.map(lambda of: f"[{of}]")
        return st.one_of(several, calls, tags, lists, inner.map(lambda of: f"{{a:{of}}}"))

    return st.recursive(st.one_of(simple, ranges, steps, intervals, globs), wrapped, max_leaves=6)


def words() -> st.SearchStrategy[list[str]]:
    """Overrides."""
    one = st.tuples(st.sampled_from(KEYS), elements()).map("=".join)
    deep = st.integers(10, 500).map(lambda depth: "model=" + "[" * depth + "]" * depth)
    return st.lists(st.one_of(*[one] * 20, deep, st.sampled_from(NASTY_TEXTS)), min_size=1, max_size=4)


def names() -> st.SearchStrategy[list[str]]:
    """Texts."""
    return st.lists(
        st.one_of(st.sampled_from(NASTY_TEXTS), st.text(max_size=20), st.binary(max_size=8).map(_as_argument)),
        max_size=4,
    )


def _as_argument(content: bytes) -> str:
    return content.decode(errors="surrogateescape")


def summarizing() -> st.SearchStrategy[list[str]]:
    """Options of summarize."""
    settings = st.sampled_from(
        ("lenet_bn", "model=lenet_bn,optim.lr=0.1", "optim.lr=0.5", "seed=0", "=", ",", "model=", "optim.lr=nan")
    )
    keys = st.sampled_from(
        ("lr", "model", "seed", "optim.momentum", "value", "seconds", "x", "", "model,lr", ",", "trainer", "path")
    )
    keys, settings = st.one_of(keys, st.sampled_from(NASTY_TEXTS)), st.one_of(settings, st.sampled_from(NASTY_TEXTS))
    return st.one_of(
        st.just([]),
        st.sampled_from(("table", "csv", "json", "md", "latex")).map(lambda name: [f"--format={name}"]),
        st.sampled_from((["--curves"], ["--all-metrics"], ["--all-metrics", "--format=csv"])),
        keys.map(lambda key: [f"--sort={key}"]),
        keys.map(lambda key: [f"--group-by={key}"]),
        keys.map(lambda key: [f"--group-by={key}", "--format=csv"]),
        st.tuples(settings, settings).map(lambda of: ["--compare", *of]),
        st.just(["--compare", "lenet_bn", "optim.lr=0.5", "--format=json"]),
    )


# what is called


def read_record(folder: Path, arguments: Sequence[str]) -> None:
    run = RunDir(folder)
    found = run.read()
    again = RunRecord.from_json(found.to_json(), "again")
    assert again.to_json() == found.to_json()  # a NaN is not equal to itself
    run.is_running(found)


def read_confusion(folder: Path, arguments: Sequence[str]) -> None:
    confusion.read(folder)


def read_ledger(folder: Path, arguments: Sequence[str]) -> None:
    ledger = Ledger(folder)
    ledger.jobs({job: Entry(job, "RUNNING", "", 1, "", "study.1-a") for job in ("12_0", "13")})
    ledger.begin(["a"])


def take_lock(folder: Path, arguments: Sequence[str]) -> None:
    owner_of(folder)
    with owned(folder):
        pass


def read_report_log(folder: Path, arguments: Sequence[str]) -> None:
    log = ReportLog(folder)
    for metric in ("train_loss", "val_acc"):
        for runs in log.read(metric).values():
            for values in runs.values():
                sorted(values.items())
    with contextlib.suppress(OSError):
        log.add(Report("c", "r", 1.0, "train_loss", 0.5))
    log.read("train_loss")


SPACE = ("optim.lr=tag(log,interval(1e-4,1))", "model=a,b", "trainer.batch_size=int(interval(32,64))")


def search_on(folder: Path, arguments: Sequence[str], *, sampler: str = "random", asked: int = 2) -> None:
    from sweeps.sweepers.search.trials import Search

    space = space_of(OverridesParser.create().parse_overrides(list(SPACE)))
    search = Search(folder, space, sampler=sampler, seed=0, n_trials=8, objectives=["objective"], direction="max")
    assert search.finished >= 0
    for _ in range(asked):
        one = search.ask()
        if one is not None:
            search.tell(one.number, record())
    search.best()
    assert search.has_more in (True, False)


def journal() -> Example:
    """A study of a few trials, one of them asked for and not told."""
    with tempfile.TemporaryDirectory() as folder:
        search_on(Path(folder), [], asked=4)
        content = (Path(folder) / "study.journal").read_bytes()
    cut = content.splitlines(keepends=True)
    return Example({"study.journal": b"".join(cut[:-1])}, ("study.journal",))


def summary(folder: Path, arguments: Sequence[str]) -> None:
    code = summarize.main([str(folder), *arguments])
    assert code in (0, 2)
    if "--format=csv" in arguments and code == 0:
        written = folder / "out.csv"
        summarize.main([str(folder), *arguments, f"--output={written}"])
        for cell in itertools.chain.from_iterable(csv.reader(io.StringIO(written.read_text(encoding="utf-8")))):
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")) or _is_number(cell), f"a formula: {cell!r}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def watched(folder: Path, arguments: Sequence[str]) -> None:
    assert watch.main([str(folder), "--once"]) in (0, 2)


def reported(folder: Path, arguments: Sequence[str]) -> None:
    from sweeps.report.cli import main

    assert main([str(folder), *arguments]) in (0, 2)


def loaded(folder: Path, arguments: Sequence[str]) -> None:
    from sweeps.results.export import load

    load(folder)


def model_example() -> Example:
    """A run that can be loaded."""
    from safetensors.torch import save

    from sweeps.vision.models import lenet_bn

    size, channels = config()["resize"]["size"], config()["resize"]["channels"]
    network = lenet_bn(in_channels=channels, num_classes=10, image_size=size)
    weights = save({name: value.contiguous() for name, value in network.state_dict().items()})
    files: dict[str, Content] = {"run.json": record().to_json().encode(), "weights.safetensors": weights}
    return Example(files, ("run.json", "run.json", "weights.safetensors"))


def model(folder: Path, arguments: Sequence[str]) -> None:
    import torch

    from sweeps.vision.predict import load_model

    trained = load_model(folder)
    trained.predict(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))


class State:
    """Something that a checkpoint is of."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """All kinds of things that may be saved."""
        import numpy as np
        import torch

        return {"weight": torch.ones(2, 3), "array": np.arange(3), "list": [1, None, "x"], "best": 0.5, **self.content}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it."""
        self.content = dict(state)


def checkpoint_example() -> Example:
    """A checkpoint, whole."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        checkpoint.save(path, "0" * 12, 1, {"model": State()}, verify=True)
        content = path.read_bytes()
    return Example({"checkpoint.pt": content}, ("checkpoint.pt",), st.lists(st.sampled_from(_STATES), max_size=1))


_STATES = tuple(
    f"{key}={value}"
    for key in ("step", "run_id", "states", "random")
    for value in (
        "null",
        "-5",
        "1e400",
        '"x"',
        "[]",
        "{}",
        "true",
        '{"a": 1}',
        '{"model": {"weight": {"__ndarray__": 1}}}',
        '{"python": [3, [1, 2], null], "torch": 1}',
    )
)


def restored(folder: Path, arguments: Sequence[str]) -> None:
    import logging

    import torch

    logging.disable()
    path = folder / "checkpoint.pt"
    for word in arguments if path.is_file() else ():  # a whole file with another value
        key, _, value = word.partition("=")
        with contextlib.suppress(Exception):
            torch.save({**torch.load(path, weights_only=True), key: json.loads(value)}, path)
    found = checkpoint.load(path, "0" * 12)
    if found is not None:
        checkpoint.restore_random_states(found["random"])
        checkpoint.put_back(found["states"], {"model": State()})


def resume_example() -> Example:
    """A run that was cut off after its first step."""
    of = record(Status.INTERRUPTED)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        checkpoint.save(path, resolved().run_id, 1, {"model": State()}, verify=False)
        content = path.read_bytes()
    place = "run/"
    files: dict[str, Content] = {
        f"{place}run.json": replace(of, steps=1, run_id=resolved().run_id).to_json().encode(),
        f"{place}metrics.jsonl": lines([row(1)]),
        f"{place}checkpoint.pt": content,
    }
    more = (".hydra", "tensorboard", "run.log", "confusion.json", ".x.tmp", "weights.safetensors")
    return Example(files, (*files, *(place + name for name in more)))


def train(cfg: Any) -> float:
    """A training function of two steps."""
    import sweeps

    run = sweeps.current_run()
    for step in range(int(run.restore(model=State())), 2):
        run.report({"test_acc": 0.5}, step=step + 1)
    return 0.5


def resumed(folder: Path, arguments: Sequence[str]) -> None:
    import logging

    from sweeps.launchers.folders import hydra_config
    from sweeps.launchers.inspection import without_hydra
    from sweeps.progress import Progress
    from sweeps.task import do_run

    logging.disable()
    place, whole = RunDir(folder / "run"), composed().copy()
    own = without_hydra(whole)
    own.sweep.hooks.check = None  # the application's, which reads images
    with contextlib.suppress(OSError), hydra_config(whole, place.path):  # its own sentence names the file
        do_run(train, own, place, resolved(), folder, "run", ["model=lenet_bn"], ".hydra", Progress())


def previous(folder: Path, arguments: Sequence[str]) -> None:
    import logging

    logging.disable()
    place = RunDir(folder / "run")
    for mismatch in ("refuse", "rerun", "keep"):
        settings = {**resolved().settings, "on_mismatch": mismatch}
        with contextlib.suppress(ConfigError):
            decide(place, replace(resolved(), settings=settings), folder)
    list(find_runs(folder))


def previous_example() -> Example:
    """A run with other settings."""
    example = resume_example()
    text = replace(record(), config={**config(), "seed": 5}, run_id="f" * 12).to_json().encode()
    return replace(example, files={**example.files, "run/run.json": text})


def odd_config(folder: Path, arguments: Sequence[str]) -> None:
    """`resolve` of an application's config that somebody has written, as JSON with interpolations."""
    content = read_json(folder / "config.json")
    if not isinstance(content, dict):
        return
    of = OmegaConf.create(content)
    of["sweep"] = OmegaConf.structured(SweepConfig)
    found = resolve(of, (folder, folder.parent))
    again = resolve(of, (folder, folder.parent))
    assert found.run_id == again.run_id
    new_record(found, name="run", sweep="s", overrides=[]).to_json()


def odd_config_example() -> Example:
    """Its file."""
    of = {
        "seed": 1,
        "a": "${seed}",
        "b": {"c": "${.d}", "d": "${a}"},
        "list": ["${seed}", {"x": "${now:%Y}"}],
        "missing": "???",
        "env": "${oc.env:HOME}",
        "nowhere": "${x.y}",
        "out": "${hydra:runtime.output_dir}",
        "number": 1e-3,
    }
    return Example({"config.json": json.dumps(of).encode()}, ("config.json",))


def images_example() -> Example:
    """IDX files."""
    content = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 3]) + bytes(range(18))
    return Example({"images": content, "images.gz": gzip.compress(content, mtime=0)}, ("images", "images.gz"))


def images(folder: Path, arguments: Sequence[str]) -> None:
    from sweeps.errors import DataError
    from sweeps.vision.data.idx import read_idx

    for path in sorted(folder.iterdir()):
        with contextlib.suppress(DataError):
            read_idx(path, 3)


MADE = ("sweep.zip", "sweep.exclude", "sweep.repeats")


def grid(folder: Path, arguments: Sequence[str]) -> None:
    parser = OverridesParser.create()
    base = OmegaConf.create({"sweep": OmegaConf.structured(SweepConfig)})
    overrides = []
    for override in parser.parse_overrides(list(arguments)):
        if override.get_key_element() in MADE and not override.is_sweep_override():
            OmegaConf.update(base, override.get_key_element(), override.value())
        overrides.append(override)
    runs = expand(overrides, base)
    assert len(runs) <= 1_000_000
    labels(runs[:100])


def space(folder: Path, arguments: Sequence[str]) -> None:
    *typed, text = arguments
    parser = OverridesParser.create()
    when = {"model": {"nin": {"optim.lr": text}}}
    found = space_of(parser.parse_overrides([*typed, "model=nin,a"]), when)
    found.describe()
    assert found.size is None or found.size > 0
    for sample in found.samples()[:10]:
        parser.parse_overrides(sample)
    for axis in found.axes.values():
        values_in(axis)


def texts(folder: Path, arguments: Sequence[str]) -> None:
    for text in arguments:
        with contextlib.suppress(ConfigError):
            place = Path(sweep_folder("out", text))
            assert place.resolve().is_relative_to(Path("out").resolve())
    name = run_name(arguments)
    assert len(name.encode()) <= 200
    assert "/" not in name
    if arguments:
        labels([arguments, ["model=x"]])


TARGETS: dict[str, Target] = {
    "record": Target(
        lambda: Example({"run.json": record(Status.FAILED).to_json().encode()}, ("run.json",)), read_record
    ),
    "old record": Target(lambda: Example({"run.json": first_record()}, ("run.json",)), read_record),
    "row": Target(
        lambda: Example({"row": lines([row(1)])}, ("row",)),
        lambda folder, _: parse_row(read_bytes(folder / "row")),
        (ValueError, OSError),
    ),
    "config": Target(odd_config_example, odd_config, (*GRAMMAR, ValueError, OSError)),
    "metrics": Target(
        file_example("metrics.jsonl", lines([row(1), row(2)])), lambda folder, _: RunDir(folder).read_metrics()
    ),
    "confusion": Target(lambda: Example({"confusion.json": the_confusion()}, ("confusion.json",)), read_confusion),
    "invocations": Target(
        lambda: Example({"sweep.json": invocations()}, ("sweep.json",)), lambda folder, _: invocations_of(folder)
    ),
    "ledger": Target(
        file_example(
            ".slurm/submission-1-a.json", json.dumps(vars(Submission("1-a", ["a", "b"], "12"))).encode(), ".slurm"
        ),
        read_ledger,
        (OSError,),
    ),
    "lock": Target(
        file_example(f"{LOCK_NAME}/0123", b'{"host": "elsewhere/0", "pid": 7, "started": "1"}', LOCK_NAME),
        take_lock,
        (OSError,),
    ),
    "report log": Target(
        file_example(
            LOG_NAME,
            b"\n".join(
                json.dumps(Report(setting, run, step, "train_loss", 0.5)._asdict()).encode()
                for setting in "ab"
                for run in "cd"
                for step in (1.0, 2.0)
            )
            + b"\n",
        ),
        read_report_log,
        (OSError,),
    ),
    "journal": Target(journal, search_on),
    "summarize": Target(lambda: sweep_example(summarizing()), summary),
    "watch": Target(sweep_example, watched),
    "report": Target(
        lambda: sweep_example(st.sampled_from((["--no-figures"], ["--no-figures"], ["--no-figures"], []))), reported
    ),
    "load": Target(sweep_example, loaded),
    "load_model": Target(model_example, model),
    "checkpoint": Target(checkpoint_example, restored),
    "previous": Target(previous_example, previous),
    "resume": Target(resume_example, resumed),
    "predictions": Target(
        lambda: Example({"predictions.safetensors": predictions()}, ("predictions.safetensors",)),
        lambda folder, _: right_answers(folder, Ranked("test_acc", "max", "last", "test")),
    ),
    "images": Target(images_example, images),
    "grid": Target(lambda: Example(arguments=words()), grid, GRAMMAR),
    "space": Target(lambda: Example(arguments=words()), space, GRAMMAR),
    "names": Target(lambda: Example(arguments=names()), texts),
}
