"""What the README says works as printed: from a checkout, from another folder, and from an installed wheel."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sweeps.results import load

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FEW_IMAGES = ["dataset.limit=20", "dataset.test_limit=10", "trainer.epochs=1", "trainer.batch_size=10"]


def commands(start: str) -> list[str]:
    """The README's command lines that begin with `start`, without comments and prompts."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = (line.removeprefix("$ ").partition(" #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line.startswith(start)]


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=420, env={**os.environ, **environment}
    )


def test_every_command_of_the_readme_composes(compose) -> None:
    found = commands("python -m sweeps ")
    assert len(found) > 5
    for command in found:
        words = [word for word in shlex.split(command)[3:] if not word.startswith("-") and "=" in word]
        single = [re.sub(r"glob\(\*\)", "alexnet", word) for word in words]
        # What only a sweeper understands is left out: intervals, and lists of keys or cells.
        first_values = [word.partition(",")[0] for word in single if "(" not in word and "[" not in word]
        compose(*first_values)


def test_every_link_of_the_readme_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []


@pytest.mark.slow
def test_a_network_and_an_optimizer_are_added_as_the_readme_says(tmp_path: Path) -> None:
    chapter = README.partition("## Add your own")[2].partition("\n## ")[0]
    network, model, optimizer = (
        textwrap.dedent(block) for block in re.findall(r"^  ```\w+\n(.*?)^  ```", chapter, re.MULTILINE | re.DOTALL)
    )
    for folder in ("src", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "src/sweeps/models/mynet.py").write_text(network, encoding="utf-8")
    (tmp_path / "conf/model/mynet.yaml").write_text(model, encoding="utf-8")
    (tmp_path / "conf/optim/nadam.yaml").write_text(optimizer, encoding="utf-8")
    for typed in re.findall(r"`python -m sweeps (\S+=\S+(?: [^`]+)?)`", chapter):
        command = [sys.executable, "-m", "sweeps", *shlex.split(typed), "dataset=fashion_mnist_mini", *FEW_IMAGES]
        done = run(command, tmp_path, PYTHONPATH=str(tmp_path / "src"))
        assert done.returncode == 0, done.stderr
        assert "completed" in done.stdout


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
    rows = load([checkout / "multirun" / "quickstart"])
    assert len({row.model for row in rows}) == 7
    assert len(rows) == 14
    assert all(row.is_finished for row in rows)
    assert all((row.path / "tensorboard").is_dir() for row in rows)
    assert (checkout / "multirun" / "quickstart" / "summary.csv").is_file()
    assert list(elsewhere.iterdir()) == []

    again = run(command, elsewhere)
    assert again.returncode == 0, again.stderr
    assert "14 finished before" in again.stdout


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

    sweep = [sys.executable, "-m", "sweeps", "-m", "experiment=smoke", "seed=0,1", "sweep=wheel", *FEW_IMAGES]
    done = run(sweep, elsewhere, PYTHONPATH=str(target))
    assert done.returncode == 0, done.stderr
    assert len(list((elsewhere / "multirun" / "wheel").glob("*/run.json"))) == 2
    where = run([sys.executable, "-c", "import sweeps; print(sweeps.__file__)"], elsewhere, PYTHONPATH=str(target))
    assert where.stdout.startswith(str(target))
    page = run([sys.executable, "-m", "sweeps", "--help"], elsewhere, PYTHONPATH=str(target))
    assert f"{target}/sweeps/conf" in page.stdout
