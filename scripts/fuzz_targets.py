"""What scripts/fuzz.py puts its inputs before: every reader of a run folder, every parser of what somebody types."""

import contextlib
import csv
import io
import itertools
import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fuzz_examples as examples
import fuzz_words as words
from fuzz_input import Example, target
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweeps import checkpoint, summarize, watch
from sweeps.config import SweepConfig
from sweeps.decision import decide
from sweeps.errors import ConfigError
from sweeps.launchers.slurm.ledger import Ledger
from sweeps.launchers.slurm.queue import Entry
from sweeps.pruners.report_log import Report, ReportLog
from sweeps.record.files import read_bytes, read_json
from sweeps.record.identity import labels, run_name, sweep_folder
from sweeps.record.lock import LOCK_NAME, owned, owner_of
from sweeps.record.provenance import invocations_of
from sweeps.record.recording import new_record
from sweeps.record.records import RunDir, RunRecord, Status, find_runs
from sweeps.record.resolved import resolve
from sweeps.record.typed import parse_row
from sweeps.results.compare import right_answers
from sweeps.results.runs import Objective
from sweeps.sweepers.expansion import expand
from sweeps.sweepers.search.space import space_of, values_in
from sweeps.vision import confusion

GRAMMAR = (HydraException, OmegaConfBaseException)  # Hydra's own errors, which have a sentence
SPACE = ("optim.lr=tag(log,interval(1e-4,1))", "model=a,b", "trainer.batch_size=int(interval(32,64))")


# files of a run and of a sweep


@target("old record", lambda: examples.one_file("run.json", examples.first_record()))
@target("record", lambda: examples.one_file("run.json", examples.record(Status.FAILED).to_json().encode()))
def read_record(folder: Path, arguments: Sequence[str]) -> None:
    run = RunDir(folder)
    found = run.read()
    again = RunRecord.from_json(found.to_json(), "again")
    assert again.to_json() == found.to_json()  # a NaN is not equal to itself
    run.is_running(found)


@target("row", lambda: examples.one_file("row", examples.lines([examples.row(1)])), ValueError, OSError)
def read_row(folder: Path, arguments: Sequence[str]) -> None:
    parse_row(read_bytes(folder / "row"))


@target("metrics", lambda: examples.one_file("metrics.jsonl", examples.lines([examples.row(1), examples.row(2)])))
def read_metrics(folder: Path, arguments: Sequence[str]) -> None:
    RunDir(folder).read_metrics()


@target("confusion", lambda: examples.one_file("confusion.json", examples.file("confusion.json")))
def read_confusion(folder: Path, arguments: Sequence[str]) -> None:
    confusion.read(folder)


@target("predictions", lambda: examples.one_file("predictions.safetensors", examples.file("predictions.safetensors")))
def read_predictions(folder: Path, arguments: Sequence[str]) -> None:
    right_answers(folder, Objective("test_acc", "max", "last", "test"))


@target("invocations", lambda: examples.one_file("sweep.json", examples.file("sweep.json")))
def read_invocations(folder: Path, arguments: Sequence[str]) -> None:
    invocations_of(folder)


@target("ledger", examples.ledger, OSError)
def read_ledger(folder: Path, arguments: Sequence[str]) -> None:
    ledger = Ledger(folder)
    ledger.jobs({job: Entry(job, "RUNNING", "", 1, "", "study.1-a") for job in ("12_0", "13")})
    ledger.begin(["a"])


LOCK = b'{"host": "elsewhere/0", "pid": 7, "started": "1"}'


@target("lock", lambda: examples.one_file(f"{LOCK_NAME}/0123", LOCK, LOCK_NAME), OSError)
def take_lock(folder: Path, arguments: Sequence[str]) -> None:
    owner_of(folder)
    with owned(folder):
        pass


@target("report log", examples.report_log, OSError)
def read_report_log(folder: Path, arguments: Sequence[str]) -> None:
    log = ReportLog(folder)
    for metric in ("train_loss", "val_acc"):
        for runs in log.read(metric).values():
            for values in runs.values():
                sorted(values.items())
    with contextlib.suppress(OSError):
        log.add(Report("c", "r", 1.0, "train_loss", 0.5))
    log.read("train_loss")


def journal() -> Example:
    """A search of a few trials, one of them without an end."""
    with tempfile.TemporaryDirectory() as folder:
        search(Path(folder), [], asked=4)
        content = (Path(folder) / "study.journal").read_bytes()
    return examples.one_file("study.journal", b"".join(content.splitlines(keepends=True)[:-1]))


@target("journal", journal)
def search(folder: Path, arguments: Sequence[str], *, asked: int = 2) -> None:
    from sweeps.sweepers.search.trials import Search

    space = space_of(OverridesParser.create().parse_overrides(list(SPACE)))
    search = Search(folder, space, sampler="random", seed=0, n_trials=8, objectives=["objective"], direction="max")
    assert search.finished >= 0
    for _ in range(asked):
        one = search.ask()
        if one is not None:
            search.tell(one.number, examples.record())
    search.best()
    assert search.has_more in (True, False)


# whole sweeps


@target("summarize", lambda: examples.sweep(words.options_of_summarize()))
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


@target("watch", examples.sweep)
def watched(folder: Path, arguments: Sequence[str]) -> None:
    assert watch.main([str(folder), "--once"]) in (0, 2)


# figures take long: in one report of four
@target("report", lambda: examples.sweep(st.sampled_from((*[["--no-figures"]] * 3, []))))
def reported(folder: Path, arguments: Sequence[str]) -> None:
    from sweeps.report.cli import main

    assert main([str(folder), *arguments]) in (0, 2)


@target("load", examples.sweep)
def loaded(folder: Path, arguments: Sequence[str]) -> None:
    from sweeps.results.export import load

    load(folder)


@target("load_model", examples.model)
def model(folder: Path, arguments: Sequence[str]) -> None:
    import torch

    from sweeps.vision.predict import load_model

    trained = load_model(folder)
    trained.predict(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))


@target("images", examples.images)
def images(folder: Path, arguments: Sequence[str]) -> None:
    from sweeps.errors import DataError
    from sweeps.vision.data.idx import read_idx

    for path in sorted(folder.iterdir()):
        with contextlib.suppress(DataError):
            read_idx(path, 3)


# resuming


@target("checkpoint", examples.a_checkpoint)
def restored(folder: Path, arguments: Sequence[str]) -> None:
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
        checkpoint.put_back(found["states"], {"model": examples.State()})


def train(cfg: Any) -> float:
    """A training function of two steps."""
    import sweeps

    run = sweeps.current_run()
    for step in range(int(run.restore(model=examples.State())), 2):
        run.report({"test_acc": 0.5}, step=step + 1)
    return 0.5


@target("resume", examples.interrupted)
def resumed(folder: Path, arguments: Sequence[str]) -> None:
    from sweeps.launchers.folders import hydra_config
    from sweeps.launchers.job import without_hydra
    from sweeps.progress import Progress
    from sweeps.task import do_run

    logging.disable()
    place, whole = RunDir(folder / "run"), examples.composed().copy()
    own = without_hydra(whole)
    own.sweep.hooks.check = None  # the application's, which reads images
    with contextlib.suppress(OSError), hydra_config(whole, place.path):  # its own sentence names the file
        do_run(train, own, place, examples.resolved(), folder, ".hydra", Progress())


@target("previous", examples.with_other_settings)
def previous(folder: Path, arguments: Sequence[str]) -> None:
    logging.disable()
    resolved = examples.resolved()
    for mismatch in ("refuse", "rerun", "keep"):
        settings = {**resolved.settings, "on_mismatch": mismatch}
        with contextlib.suppress(ConfigError):
            decide(RunDir(folder / "run"), replace(resolved, settings=settings), folder)
    list(find_runs(folder))


# what somebody types


@target("config", examples.odd_config, *GRAMMAR, ValueError, OSError)
def config(folder: Path, arguments: Sequence[str]) -> None:
    content = read_json(folder / "config.json")
    if not isinstance(content, dict):
        return
    of = OmegaConf.create(content)
    of["sweep"] = OmegaConf.structured(SweepConfig)
    found = resolve(of, (folder, folder.parent))
    assert found.run_id == resolve(of, (folder, folder.parent)).run_id
    new_record(found, name="run", sweep="s", overrides=[]).to_json()


@target("grid", words.overrides, *GRAMMAR)
def grid(folder: Path, arguments: Sequence[str]) -> None:
    overrides = OverridesParser.create().parse_overrides(list(arguments))
    base = OmegaConf.create({"sweep": OmegaConf.structured(SweepConfig)})
    for override in overrides:
        key = override.get_key_element()
        if key in ("sweep.zip", "sweep.exclude", "sweep.repeats") and not override.is_sweep_override():
            OmegaConf.update(base, key, override.value())
    runs = expand(overrides, base)
    assert len(runs) <= 1_000_000
    labels(runs[:100])


@target("space", words.overrides, *GRAMMAR)
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


@target("names", words.names)
def names(folder: Path, arguments: Sequence[str]) -> None:
    for text in arguments:
        with contextlib.suppress(ConfigError):
            place = Path(sweep_folder("out", text))
            assert place.resolve().is_relative_to(Path("out").resolve())
    name = run_name(arguments)
    assert len(name.encode()) <= 200
    assert "/" not in name
    if arguments:
        labels([arguments, ["model=x"]])
