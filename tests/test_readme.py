"""What the README says works as printed: from a checkout, from another folder, and from an installed wheel."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FEW_IMAGES = ["dataset.limit=20", "dataset.test_limit=10", "trainer.epochs=1", "trainer.batch_size=10"]


def chapter(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(text: str, language: str = "") -> list[str]:
    """The contents of the fenced blocks of a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


def commands(text: str, start: str) -> list[str]:
    """The command lines of the plain blocks that begin with `start`, without comments."""
    lines = (line.partition(" #")[0].strip() for block in blocks(text) for line in block.splitlines())
    return [line for line in lines if line.startswith(start)]


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=420, env={**os.environ, **environment}
    )


def records(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*/run.json"))]


def test_the_readme_is_one_page() -> None:
    assert len(README.splitlines()) <= 200


def test_the_two_commands_of_the_shipped_application_never_change() -> None:
    first = commands(README.partition("\n## ")[0], "python -m sweeps")
    assert first == [
        "python -m sweeps model=googlenet",
        "python -m sweeps -m model=alexnet,vgg11,nin optim.lr=0.01,0.1",
    ]


def test_the_table_of_results_holds_the_measured_figures() -> None:
    measured = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").partition("\n## ")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\w+) \| (0\..*) \|$", chapter("The shipped application"), re.MULTILINE)
    assert len(rows) == 7
    for network, row in rows:
        lines = "\n".join(line for line in measured.splitlines() if line.startswith(f"| {network} "))
        assert [cell for cell in row.split(" | ") if f"| {cell} " not in lines] == [], network


@pytest.fixture
def application(tmp_path: Path) -> Path:
    """The training function of the README, in a folder of its own."""
    (tmp_path / "conf").mkdir()
    text = chapter("Your own training function")
    (tmp_path / "conf" / "config.yaml").write_text(blocks(text, "yaml")[0], encoding="utf-8")
    (tmp_path / "train.py").write_text(blocks(text, "python")[0], encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_your_own_training_function_runs_as_the_readme_says(application: Path) -> None:
    done = run([sys.executable, "train.py", "epochs=2"], application)
    assert done.returncode == 0, done.stderr
    assert not (application / "multirun").exists()

    first, repeated, pruned, summary, report = commands(chapter("Your own training function"), "python ")
    python = {"python": sys.executable}
    for command, name, runs in ((first, "lr_study", 3), (first, "lr_study", 3), (repeated, "seeds", 15)):
        done = run([python.get(word, word) for word in shlex.split(command)], application)
        assert done.returncode == 0, done.stderr
        found = records(application / "multirun" / name)
        assert len(found) == runs
        assert {record["status"] for record in found} == {"completed", "diverged"}
        assert {record["attempts"] for record in found} == {1}
        assert {record["steps"] for record in found if record["status"] == "completed"} == {20}
    done = run([python.get(word, word) for word in shlex.split(pruned)], application)
    assert done.returncode == 0, done.stderr
    states = [record["status"] for record in records(application / "multirun" / "pruned")]
    assert len(states) == 4
    assert "pruned" in states
    done = run([python.get(word, word) for word in shlex.split(summary)], application)
    assert done.returncode == 0, done.stderr
    assert "val_loss" in done.stdout
    done = run([python.get(word, word) for word in shlex.split(report)], application)
    assert done.returncode == 0, done.stderr
    assert (application / "multirun" / "lr_study" / "report.html").is_file()


@pytest.mark.slow
def test_the_smoke_sweep_runs_as_printed(tmp_path: Path) -> None:
    (command,) = [line for line in commands(README, "python -m sweeps") if "experiment=smoke" in line]
    done = run([sys.executable, *shlex.split(command)[1:]], tmp_path)
    assert done.returncode == 0, done.stderr
    assert [record["status"] for record in records(tmp_path / "multirun" / "smoke")] == ["completed"] * 2


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".venv").exists(), reason="needs the environment that scripts/test makes")
def test_the_quickstart_trains_all_seven_at_two_rates_from_any_folder_and_can_be_repeated(tmp_path: Path) -> None:
    checkout, elsewhere = tmp_path / "checkout", tmp_path / "elsewhere"
    shutil.copytree(ROOT / "scripts", checkout / "scripts")
    shutil.copy(ROOT / "pyproject.toml", checkout)
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    shutil.copy(ROOT / "pyproject.toml", ROOT / ".venv" / "installed-tensorboard")  # the dev extra holds it
    elsewhere.mkdir()
    command = [str(checkout / "scripts" / "quickstart"), *FEW_IMAGES]

    first = run(command, elsewhere)
    assert first.returncode == 0, first.stderr
    found = records(checkout / "multirun" / "quickstart")
    assert len({record["config"]["model"]["_target_"] for record in found}) == 7
    assert len(found) == 14
    assert {record["status"] for record in found} <= {"completed", "diverged"}
    assert len(list((checkout / "multirun" / "quickstart").glob("*/tensorboard"))) == 14
    assert (checkout / "multirun" / "quickstart" / "summary.csv").is_file()
    assert list(elsewhere.iterdir()) == []

    again = run(command, elsewhere)
    assert again.returncode == 0, again.stderr
    assert [record["attempts"] for record in records(checkout / "multirun" / "quickstart")] == [1] * 14


@pytest.mark.slow
def test_an_installed_wheel_works_from_any_folder(tmp_path: Path) -> None:
    source, target, elsewhere = tmp_path / "source", tmp_path / "target", tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    built = run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)], tmp_path
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("hydra_sweeps-*.whl")
    installed = run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], tmp_path)
    assert installed.returncode == 0, installed.stderr

    sweep = [sys.executable, "-m", "sweeps", "-m", "experiment=smoke", "seed=0,1", "sweep.name=wheel", *FEW_IMAGES]
    done = run(sweep, elsewhere, PYTHONPATH=str(target))
    assert done.returncode == 0, done.stderr
    assert len(list((elsewhere / "multirun" / "wheel").glob("*/run.json"))) == 2
    where = run([sys.executable, "-c", "import sweeps; print(sweeps.__file__)"], elsewhere, PYTHONPATH=str(target))
    assert where.stdout.startswith(str(target))
    page = run([sys.executable, "-m", "sweeps", "--help"], elsewhere, PYTHONPATH=str(target))
    assert f"{target}/sweeps/conf" in page.stdout
    assert not (target / "benchmarks").exists()
