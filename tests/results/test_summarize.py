"""The command: formats that can be parsed back, one clear line for a mistake."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.record.records import Failure, Status
from sweeps.summarize import main

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "summarize.py"


@pytest.fixture
def summarize(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_without_a_terminal_nothing_is_cut_or_coloured(summarize, sweep):
    code, out, err = summarize(sweep)
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert "hidden" not in out
    assert "parameters" in out
    assert "Ranked by the last test_acc, measured on the test set: the best run was" in out


def test_csv(summarize, sweep):
    code, out, err = summarize(sweep, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5", "6", "", "", "", "", ""]
    assert (rows[0]["model"], rows[0]["seed"], rows[0]["value"], rows[0]["split"]) == ("alexnet", "2", "0.93", "test")
    assert (rows[5]["status"], rows[5]["value"]) == ("diverged", "")
    assert rows[8]["problem_kind"] == "oom"
    assert "chosen on the test set" in err
    assert "schema version 99" in err


def test_csv_quotes_what_needs_it(summarize, run_in, study):
    run_in(name="a", status=Status.FAILED, accuracies=(), error=Failure("error", 'said "no", twice\nand left'))
    _, out, _ = summarize(study, "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(out))
    assert row["problem"] == 'said "no", twice and left'


def test_json(summarize, sweep):
    code, out, err = summarize(sweep, "--format", "json")
    content = json.loads(out)
    assert (code, err) == (0, "")
    assert content["ranked_on"] == [
        "Ranked by the last test_acc, measured on the test set: the best run was chosen on the test set."
    ]
    assert [run["is_best"] for run in content["runs"]] == [True] + [False] * 10
    best = content["settings"][0]
    assert (best["model"], best["optim.lr"], best["n"], best["mean"]) == ("alexnet", 0.01, 3, pytest.approx(0.92))
    assert (best["setting"], best["standing"], best["by_seed"]["2"]) == ("model=alexnet, lr=0.01", "best", 0.93)
    assert best["setting_id"] == content["runs"][0]["setting_id"]
    assert [run["status"] for run in content["runs"]].count("unreadable") == 2


def test_markdown(summarize, run_in, study):
    run_in(model="a|b*[red]", name="1")
    run_in(model="c", name="2", accuracies=(0.1,))
    _, out, _ = summarize(study, "--format", "md")
    table = [line for line in out.partition("### Advice")[0].splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table]
    assert {len(row) for row in cells} == {len(cells[0])}
    assert re.fullmatch(r"(\| -{3}:? )+\|", table[1])
    assert cells[2][1].strip() == r"a\|b\*\[red\]"
    assert "the best run was chosen on the test set." in out


def test_latex(summarize, run_in, study):
    run_in(model=r"x_y&z%$#{}~^\w", name="1")
    run_in(model="c", name="2", accuracies=(0.1,))
    _, out, _ = summarize(study, "--format", "latex")
    assert r" & x\_y\&z\%\$\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}w & 0.6000 & " in out
    header = next(line for line in out.splitlines() if line.startswith(r"\#"))
    alignment = re.search(r"\\begin\{tabular\}\{([rl]+)\}", out).group(1)
    assert len(alignment) == header.count("&") + 1
    assert out.count("{") == out.count("}")


@pytest.mark.parametrize("form", ["table", "md", "latex"])
def test_groups_as_text(summarize, sweep, form):
    code, out, _ = summarize(sweep, "--group-by", "model,lr", "--format", form)
    assert code == 0
    assert "*0.9200" in out.replace("\\*", "*")
    assert "n = 1 is not evidence" in out.replace("\\", "")
    assert "the best group was chosen on the test set" in out


def test_groups_as_csv_and_json(summarize, sweep):
    _, out, _ = summarize(sweep, "--group-by", "model,lr", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (rows[0]["model"], rows[0]["optim.lr"], rows[0]["n"], rows[0]["std"][:4]) == ("alexnet", "0.01", "3", "0.01")
    assert 0 < float(rows[0]["low"]) < float(rows[0]["mean"]) < float(rows[0]["high"]) < 1
    assert (rows[0]["interval"], rows[1]["low"]) == ("Student's t", "")
    _, out, _ = summarize(sweep, "--group-by", "model", "--format", "json", "--sort", "mean")
    content = json.loads(out)
    means = [group["mean"] for group in content["groups"] if group["mean"] is not None]
    assert means == sorted(means)
    assert content["grouped_by"] == ["model"]
    assert sum(group["runs"] for group in content["groups"]) == 11


def test_sort(summarize, sweep):
    _, out, _ = summarize(sweep, "--sort", "seed", "--format", "json")
    seeds = [run["seed"] for run in json.loads(out)["runs"]]
    assert seeds == [0, 0, 0, 0, 0, 0, 0, 1, 2, None, None]


def test_all_metrics(summarize, sweep):
    _, out, _ = summarize(sweep, "--all-metrics", "--format", "json")
    assert json.loads(out)["runs"][0]["last.train_loss"] == 0.14


def test_two_sweeps_in_one_table(summarize, tmp_path, made_up):
    for name in ("a", "b"):
        made_up.write_run(tmp_path / name, model="nin")
    _, out, _ = summarize(tmp_path / "a", tmp_path / "b", "--format", "json")
    assert [run["sweep"] for run in json.loads(out)["runs"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "starts"),
    [("x.csv", "rank,run,"), ("x.json", "{"), ("x.md", "### 11 runs"), ("x.TEX", "% needs"), ("x.txt", "11 runs")],
)
def test_the_suffix_of_the_output_chooses_the_format(summarize, sweep, tmp_path, name, starts):
    assert summarize(sweep, "--output", tmp_path / name)[:2] == (0, "")
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(starts)


def test_a_format_that_is_given_wins_over_the_suffix(summarize, sweep, tmp_path):
    summarize(sweep, "--output", tmp_path / "x.csv", "--format", "markdown")
    assert (tmp_path / "x.csv").read_text(encoding="utf-8").startswith("### 11 runs")


def test_a_comparison_wraps_at_the_width_of_the_console(summarize, run_in, study, monkeypatch):
    for seed in (0, 1, 2):
        run_in(model="nin", seed=seed, accuracies=(0.5 + seed / 10,))
        run_in(model="vgg11", seed=seed, accuracies=(0.6,))
    _, whole, _ = summarize(study, "--compare", "nin", "vgg11")
    monkeypatch.setenv("COLUMNS", "60")
    _, wrapped, _ = summarize(study, "--compare", "nin", "vgg11")
    assert max(map(len, whole.splitlines())) > 100
    assert max(len(line.rstrip()) for line in wrapped.splitlines()) <= 60
    assert wrapped.split() == whole.split()


def test_output_is_written_whole(summarize, sweep, tmp_path):
    target = tmp_path / "summary.md"
    assert summarize(sweep, "--format", "md", "--output", target) == (0, "", "")
    assert target.read_text(encoding="utf-8").startswith("### 11 runs")
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing"], "is not a folder"),
        (["empty"], "multirun/<sweep>/<run>/run.json"),
        (["lr_study", "empty"], "holds no runs"),
        (["lr_study", "--sort", "sped"], "did you mean seed"),
        (["lr_study", "--group-by", "model,"], "known: model, optim.lr"),
        (["lr_study", "--group-by", "model", "--sort", "loss"], "known: setting, setting_id, model, objective"),
        (["lr_study", "--output", "no/such/file"], "cannot be written"),
        (["lr_study", "--output", "empty"], "not an ordinary file"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(summarize, sweep, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    code, out, err = summarize(*arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert err.startswith("summarize: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["lr_study", "--format", "yaml"], ["lr_study", "--nonsense"]])
def test_a_wrong_option_is_one_line_and_exit_code_2(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def run_python(*arguments, **options):
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, **options)


def test_the_script_runs_from_any_folder_without_installation(sweep, tmp_path):
    done = run_python("-I", SCRIPT, sweep, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "11 runs" in done.stdout


def test_neither_torch_nor_hydra_is_imported(sweep, run_in, study):
    run_in(model="nin")
    run_in(model="vgg11")
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parents[1] / 'src')!r})\n"
        f"from sweeps.summarize import main; main([{str(study)!r}])\n"
        "heavy = {'torch', 'hydra', 'omegaconf', 'pandas'}\n"
        "print(sorted((heavy | {'numpy', 'scipy'}) & set(sys.modules)), file=sys.stderr)\n"
        f"main([{str(sweep)!r}])\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    assert run_python("-c", code).stderr == "[]\n[]\n", "scipy is for repeats alone"


def test_a_reader_that_has_enough_is_no_error(sweep):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([sys.executable, SCRIPT, sweep], stdout=writer, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
