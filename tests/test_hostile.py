"""A run folder from somebody else is data: it runs nothing, writes nowhere else, and says nothing to the terminal."""

import csv
import importlib.util
import io
import json
import os
import sys
from pathlib import Path

import pytest

from sweeps import summarize, watch
from sweeps.errors import ConfigError, RecordError, SweepsError
from sweeps.launchers.slurm.ledger import Ledger
from sweeps.pruners import Report, ReportLog
from sweeps.pruners.report_log import LOG_NAME
from sweeps.record.files import (
    DEPTH_LIMIT,
    SIZE_LIMIT,
    atomic_write,
    make_folder,
    open_to_append,
    parse_json,
    read_bytes,
)
from sweeps.record.lock import LOCK_NAME, owned, owner_of
from sweeps.record.processes import Process
from sweeps.record.provenance import invocations_of
from sweeps.record.records import Objective, RunDir, RunRecord, Status
from sweeps.terminal import clean, printable, without_formula
from sweeps.vision import confusion

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e[bold]x[/bold]"


def written(folder, **fields):
    """A run in `folder` whose record has these fields in place of sound ones."""
    record = RunRecord(
        "0" * 12,
        "1" * 12,
        "a",
        "s",
        Status.RUNNING,
        Objective("test_acc", "max", "test", "last", 0.5),
        overrides=["model=nin"],
        config={"model": {"_target_": "sweeps.vision.models.nin"}, "trainer": {"epochs": 3}},
        steps=1,
        max_steps=3,
        seconds=2.0,
        metrics={"last": {"step": 1, "test_acc": 0.5}},
        process=Process("elsewhere/0", 7, "1"),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(json.loads(record.to_json()) | fields))
    return RunDir(folder)


@pytest.fixture
def outside(tmp_path):
    """A folder that nobody may touch; the check is made at the end."""
    folder = tmp_path / "outside"
    folder.mkdir()
    contents = {"run.json": b"{}", ".x.tmp": b"", "checkpoint.pt": b"x", "file": b"no end of the line", "0123": b"?"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    yield folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents


# reading


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_ordinary_file_is_refused_without_waiting_for_it(tmp_path, make, capsys):
    folder = tmp_path / "s" / "a"
    folder.mkdir(parents=True)
    for name in ("run.json", "metrics.jsonl", "confusion.json"):
        make(folder / name)
    for read in (RunDir(folder).read, RunDir(folder).read_metrics, lambda: confusion.read(folder)):
        with pytest.raises(RecordError, match="not an ordinary file"):
            read()
    if (folder / "run.json").is_dir():
        return  # no run
    assert summarize.main([str(folder.parent)]) == 0
    assert watch.main([str(folder.parent), "--once"]) == 0
    assert "unreadable" in capsys.readouterr().out


def test_a_file_that_would_fill_the_memory_is_refused(tmp_path):
    run = RunDir(tmp_path)
    with run.record.open("wb") as file:
        file.truncate(SIZE_LIMIT + 1)
    with pytest.raises(RecordError, match=r"16,777,217 bytes are more than the 16,777,216 that are read"):
        run.read()
    with run.record.open("wb") as file:
        file.truncate(SIZE_LIMIT)
    assert len(read_bytes(run.record)) == SIZE_LIMIT


@pytest.mark.parametrize("depth", [DEPTH_LIMIT + 1, 900, 100_000])
def test_deep_json_is_an_error_with_a_sentence_everywhere(tmp_path, depth):
    text = "[" * depth + "]" * depth
    with pytest.raises(ValueError, match="nested more than 64 levels deep"):
        parse_json(text)
    run = RunDir(tmp_path)
    (tmp_path / LOCK_NAME).mkdir()
    (tmp_path / ".slurm").mkdir()
    places = (run.record, run.metrics, tmp_path / confusion.NAME, tmp_path / "sweep.json", tmp_path / LOG_NAME)
    for path in (*places, tmp_path / LOCK_NAME / "0123", tmp_path / ".slurm" / "submission-1.json"):
        path.write_text(f"{text}\n{text}\n" if path.suffix == ".jsonl" else text)
    for read in (run.read, run.read_metrics, lambda: confusion.read(tmp_path)):
        with pytest.raises(RecordError, match="levels deep"):
            read()
    assert invocations_of(tmp_path) == []
    assert Ledger(tmp_path).read() == []
    assert ReportLog(tmp_path).read("train_loss") == {}
    assert owner_of(tmp_path) is None


def test_json_as_deep_as_a_config_may_be_is_read():
    assert parse_json("[" * DEPTH_LIMIT + "]" * DEPTH_LIMIT)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seconds", "x"),
        ("objective", {"metric": "m", "direction": "max", "report": "last", "split": "s", "value": "x"}),
        ("config", "0"),
        ("ended", []),
        ("steps", "x"),
        ("steps", True),
        ("steps", 10**400),
        ("facts", []),
        ("ignore", "seed"),
        ("setting_id", 7),
        ("seconds", 1e999),
        ("overrides", [1]),
        ("overrides", [[]]),
        ("metrics", {"last": []}),
        ("process", {"host": 1, "pid": 1}),
        ("process", {"host": "x", "pid": "1"}),
        ("error", {"kind": "x"}),
        ("environment", []),
        ("run_id", 7),
        ("name", None),
    ],
)
def test_a_field_of_another_type_makes_a_run_unreadable_and_is_named(tmp_path, key, value, capsys):
    run = written(tmp_path / "s" / "a", **{key: value})
    with pytest.raises(RecordError, match=rf"garbles a field of a run record: {key}"):
        run.read()
    assert watch.main([str(tmp_path / "s"), "--once"]) == 0
    assert "1 unreadable" in capsys.readouterr().out


@pytest.mark.parametrize(
    "config", [{}, {"trainer": 1}, {"trainer": {"epochs": "x"}}, {"trainer": {"epochs": 0}, "model": []}]
)
def test_watch_shows_runs_whose_config_says_nothing(tmp_path, config, capsys, monkeypatch):
    written(tmp_path / "s" / "a", config=config)
    assert watch.main([str(tmp_path / "s"), "--once"]) == 0
    assert "1 running" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line", ["[1]", '{"step": "x"}', '{"step": true}', "{}", '{"step": 1, "a": [1]}', '{"step": 1, "a": 1e999}']
)
def test_a_line_of_metrics_is_figures_by_name(tmp_path, line):
    run = RunDir(tmp_path)
    run.metrics.write_text(f'{line}\n{{"step": 2}}\n')
    with pytest.raises(RecordError, match=r"line 1 of .*metrics\.jsonl is damaged"):
        run.read_metrics()


@pytest.mark.parametrize("value", ["[]", "{}", "null", "1", '"1"', "true", "NaN", "1" + "0" * 400])
@pytest.mark.parametrize("key", ["setting", "run", "step", "metric", "value"])
def test_a_bad_line_of_the_report_log_is_left_out(tmp_path, key, value):
    sound = {"setting": '"c"', "run": '"r"', "step": "2", "metric": '"train_loss"', "value": "1"}
    bad = ", ".join(f'"{name}": {text}' for name, text in (sound | {key: value}).items())
    if (key, value) in {("step", "1"), ("value", "1")} or (key in ("setting", "run", "metric") and value == '"1"'):
        return
    (tmp_path / LOG_NAME).write_text(f"{{{bad}}}\n")
    ReportLog(tmp_path).add(Report("a", "b", 1.0, "train_loss", 0.5))
    assert ReportLog(tmp_path).read("train_loss") == {"a": {"b": {1.0: 0.5}}}


@pytest.mark.parametrize("content", ['{"invocations": {}}', '{"invocations": null}', '{"invocations": "x"}', "[]", "1"])
def test_a_sweep_json_of_another_kind_counts_as_none(tmp_path, content):
    (tmp_path / "sweep.json").write_text(content)
    assert invocations_of(tmp_path) == []


@pytest.mark.parametrize("runs", [1, [[]], None, "ab", [1]])
def test_a_submission_of_another_kind_is_left_out(tmp_path, runs):
    (tmp_path / ".slurm").mkdir()
    (tmp_path / ".slurm" / "submission-1.json").write_text(json.dumps({"token": "1", "runs": runs, "job": "12"}))
    assert Ledger(tmp_path).jobs({}) == {}


# writing


def test_nothing_is_added_through_a_link(tmp_path, outside):
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / LOG_NAME).symlink_to(outside / "file")
    with pytest.raises(OSError, match="a link, which is not written through"):
        ReportLog(sweep).add(Report("a", "b", 1.0, "m", 0.5))
    (sweep / "metrics.jsonl").symlink_to(outside / "file")
    with pytest.raises(OSError, match="a link, which is not written through"):
        RunDir(sweep).append_metrics({"step": 1})
    (sweep / "new").symlink_to(tmp_path / "not there")
    with pytest.raises(OSError, match="a link, which is not written through"):
        open_to_append(sweep / "new")
    (sweep / ".slurm").symlink_to(outside)
    with pytest.raises(OSError, match="a link, which is not written through"):
        Ledger(sweep).begin(["a"])
    (sweep / "report").symlink_to(outside)
    with pytest.raises(OSError, match="a link, which is not written through"):
        make_folder(sweep / "report")


def test_a_journal_that_is_a_link_is_refused_with_a_sentence(tmp_path, outside):
    pytest.importorskip("optuna")
    from sweeps.sweepers.search.journal import mend

    (tmp_path / "study.journal").symlink_to(outside / "file")
    with pytest.raises(ConfigError, match=r"study\.journal cannot be used .*a link.*move it away"):
        mend(tmp_path / "study.journal")


def test_a_lock_that_is_a_link_is_taken_away_and_what_it_leads_to_is_not(tmp_path, outside):
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / LOCK_NAME).symlink_to(outside)
    with owned(sweep):
        assert not (sweep / LOCK_NAME).is_symlink()


@pytest.mark.parametrize("mismatch", ["rerun", "keep", "refuse"])
def test_a_run_folder_that_is_a_link_is_refused_before_anything_is_deleted(tmp_path, outside, mismatch, run_into):
    (tmp_path / "run").symlink_to(outside)
    with pytest.raises(RecordError, match=r"run is a link, and a run writes into its own folder alone"):
        run_into(RunDir(tmp_path / "run"), f"sweep.on_mismatch={mismatch}")


@pytest.mark.parametrize("name", ["tensorboard", ".hydra", "run.log", "metrics.jsonl"])
def test_a_run_does_not_go_on_in_a_folder_with_a_link(folder, do_run, outside, name):
    folder.path.mkdir()
    (folder.path / name).symlink_to(outside if name != "run.log" else outside / "file")
    with pytest.raises(RecordError, match=rf"{name} is a link"):
        do_run("sweep/tracker=tensorboard")
    assert not folder.record.exists()


def test_the_sweeps_folder_itself_may_be_reached_through_a_link(tmp_path, run_into):
    (tmp_path / "large_disk").mkdir()
    (tmp_path / "multirun").symlink_to(tmp_path / "large_disk")
    assert run_into(RunDir(tmp_path / "multirun" / "run"), "trainer.epochs=1").status is Status.COMPLETED


# what is shown


def test_no_escape_sequence_and_no_markup_reach_the_terminal(tmp_path, capsys):
    sweep = tmp_path / f"s{HOSTILE}".replace("/", "")
    for place in ("a", f"b{HOSTILE}".replace("/", "")):
        written(
            sweep / place,
            name=HOSTILE,
            overrides=[f"model={place}"],
            process={"host": HOSTILE, "pid": 7, "started": ""},
            objective={"metric": HOSTILE, "direction": "max", "report": "last", "split": "test", "value": 0.5},
        )
    written(sweep / "c", status=HOSTILE)
    for show in (lambda: watch.main([str(sweep), "--once"]), lambda: summarize.main([str(sweep)])):
        assert show() == 0
        said = capsys.readouterr()
        assert printable(said.out + said.err) == said.out + said.err
    (sweep / "a" / "run.json").unlink()
    assert watch.main([str(sweep / f"{HOSTILE}x"), "--once"]) == 2
    said = capsys.readouterr().err
    assert printable(said) == said


def test_what_a_terminal_may_be_shown():
    assert printable("a\x1b[2J\tb\nc\u202e\x9b\ud800é") == "a[2J\tb\nc?é"
    assert clean("a\n  b\x07") == "a b"


@pytest.mark.parametrize("text", ["=1+1", "+cmd|x", "-2+3", "@SUM(1)", "\t=1", "\r=1"])
def test_what_a_spreadsheet_takes_for_a_formula_is_marked_as_text(text):
    assert without_formula(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1", "+1.5e-3", "-.5", "a=b", "model=nin", "", "0"])
def test_numbers_and_names_stay_as_they_are_in_a_csv_file(text):
    assert without_formula(text) == text


def test_a_csv_file_has_no_formula_in_any_cell(tmp_path, capsys):
    for place in range(2):
        written(
            tmp_path / "s" / str(place),
            name="=HYPERLINK(1)",
            sweep="-2+3+cmd|x",
            overrides=[f"@x={place}", f"=y={place}"],
        )
    assert summarize.main([str(tmp_path / "s"), "--format=csv"]) == 0
    cells = [cell for line in csv.reader(io.StringIO(capsys.readouterr().out)) for cell in line]
    assert "'=HYPERLINK(1)" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


# what the fuzzer has found


CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.json"))


@pytest.fixture(scope="module")
def fuzz():
    """The module `scripts/fuzz.py`."""
    pytest.importorskip("hypothesis")
    path = Path(__file__).resolve().parents[1] / "scripts" / "fuzz.py"
    spec = importlib.util.spec_from_file_location("fuzz", path)
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    sys.modules["fuzz"] = module
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_was_found_once_is_answered_now(path, fuzz):
    case = json.loads(path.read_text(encoding="utf-8"))
    fuzz.warm_up(case["target"])
    fuzz.check(case["target"], fuzz.Input.from_json(case["input"]))


def test_the_fuzzer_finds_what_must_not_happen(fuzz, monkeypatch):
    def calls(error):
        def call(folder, arguments):
            if isinstance(error, BaseException):
                raise error
            error(folder)

        return fuzz.TARGETS | {"record": fuzz.TARGETS["names"].__class__(lambda: None, call)}

    def hang(folder):
        while True:
            pass

    def wait(folder):
        os.mkfifo(folder / "pipe")
        (folder / "pipe").read_bytes()

    monkeypatch.setattr(fuzz, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(fuzz, "LOOKS", 5)
    cases = {
        "KeyError": KeyError("x"),
        "outside": lambda folder: (folder.parent / "outside" / "file").write_text("changed"),
        "escape": lambda folder: print("\x1b[2J"),
        "memory": lambda folder: bytearray(600 << 20).count(1),
        "hang": hang,
    }
    for signature, error in [*cases.items(), ("hang", wait)]:
        monkeypatch.setattr(fuzz, "TARGETS", calls(error))
        monkeypatch.setattr(fuzz, "SECONDS_LIMIT", 0.2 if error is hang else 60.0)
        with pytest.raises(fuzz.Found) as found:
            fuzz.check("record", fuzz.Input())
        assert signature in found.value.signature
    monkeypatch.setattr(fuzz, "TARGETS", calls(SweepsError("a sentence")))
    fuzz.check("record", fuzz.Input())


def test_a_lock_with_a_folder_in_it_is_named(tmp_path):
    (tmp_path / LOCK_NAME / "x").mkdir(parents=True)
    with pytest.raises(SweepsError, match=r"x is a folder and no lock; move it away"), owned(tmp_path):
        pass


def test_what_cannot_be_replaced_is_named_and_not_its_temporary_file(tmp_path):
    (tmp_path / "multirun.yaml").mkdir()
    with pytest.raises(OSError, match=r"/multirun\.yaml'$"):
        atomic_write(tmp_path / "multirun.yaml", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["multirun.yaml"]


def test_nothing_that_a_run_leaves_as_text_is_for_the_world(do_run, folder):
    do_run()
    modes = {path.name: path.stat().st_mode & 0o007 for path in (folder.record, folder.metrics)}
    assert modes == {"run.json": 0, "metrics.jsonl": 0}


def test_what_a_killed_run_was_writing_is_taken_away(do_run, folder):
    left = [folder.path / ".run.json.7-ab.tmp", folder.path / ".hydra" / ".overrides.yaml.7-ab.tmp"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    do_run()
    assert not any(path.exists() for path in left)
