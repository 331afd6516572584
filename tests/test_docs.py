"""The pages in docs/: links lead somewhere, keys exist, commands compose, and what may be copied works."""

import dataclasses
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps import config
from sweeps.__main__ import VERBS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted(DOCS.glob("*.md")))}
MEASURED = ("reliability.md", "results.md", "search.md")  # generated; their commands are those that were typed
WRITTEN = {name: text for name, text in PAGES.items() if name not in (*MEASURED, "upgrading.md")}


def blocks(text: str, language: str = "") -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


def commands() -> Iterator[str]:
    """Every command line of the shipped application, continued lines joined."""
    for text in WRITTEN.values():
        for block in (*blocks(text), *blocks(text, "console")):
            for line in block.replace("\\\n", " ").splitlines():
                line = line.removeprefix("$ ").partition(" #")[0].strip()
                words = line.partition("python -m sweeps ")[2]
                if words and words.split()[0] not in VERBS and "my_conf" not in words:
                    yield words


def keys_of(node: type, prefix: str) -> Iterator[str]:
    for field in dataclasses.fields(node):
        yield f"{prefix}{field.name}"
        if dataclasses.is_dataclass(field.type) and isinstance(field.type, type):
            yield from keys_of(field.type, f"{prefix}{field.name}.")


@pytest.fixture(scope="module")
def keys() -> set[str]:
    """Every key of the engine's node, those of all pruners and trackers included."""
    found = set(keys_of(config.SweepConfig, "sweep."))
    for pruner in config.PRUNERS.values():
        found |= set(keys_of(pruner, "sweep.pruner."))
    for name, tracker in config.TRACKERS.items():
        found |= {f"sweep.tracker.{name}", *(f"sweep.tracker.{name}.{key}" for key in tracker)}
    return found


def test_settings_md_shows_the_comments_of_the_code() -> None:
    spec = importlib.util.spec_from_file_location("settings_page", ROOT / "scripts" / "settings_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert PAGES["settings.md"] == module.page(), "run scripts/settings_page.py"


def test_settings_md_explains_every_key(keys: set[str]) -> None:
    inner = {key for key in keys if any(other.startswith(f"{key}.") for other in keys)}
    hidden = {key for key in keys if key.endswith(("_target_", ".defaults")) or key.startswith("sweep.tracker.")}
    rows = dict(re.findall(r"^\| `([\w.]+)` \| `[^`]*` \| (.*) \|$", PAGES["settings.md"], re.MULTILINE))
    assert keys - inner - hidden <= rows.keys()
    assert [key for key, meaning in rows.items() if not meaning.strip()] == []


@pytest.mark.parametrize("page", WRITTEN)
def test_keys_that_are_named_exist(page: str, keys: set[str]) -> None:
    named = set(re.findall(r"(?<![\w./-])sweep\.[a-z_]+(?:\.[a-z_]+)*", WRITTEN[page]))
    files = {"sweep.json"}
    assert named - keys - files == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    folder = ROOT if page == "README.md" else DOCS
    targets = re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", PAGES[page])
    assert [target for target in targets if "://" not in target and not (folder / target).exists()] == []
    files = re.findall(r"`((?:tests|scripts|src)/[\w/]+\.py)\b", PAGES[page])
    assert [file for file in files if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("page", WRITTEN)
def test_one_word_for_one_thing(page: str) -> None:
    text = WRITTEN[page].lower()
    text = re.sub(r"--output=|hydra\.\S+", "", text)
    assert re.findall(r"\b(?:cells?|criterion|cell_id)\b", text) == []
    assert re.findall(r"(?<![+/.\w-])(?:sweep|pruner|tracker|repeats|plan|zip|exclude|output)=", text) == []


def test_every_page_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    assert set(re.findall(r"- ([\w-]+\.md)", nav)) == PAGES.keys() - {"README.md"}


def test_every_command_of_the_shipped_application_composes(compose) -> None:
    found = list(commands())
    assert len(found) > 15
    for command in found:
        words = [word for word in shlex.split(command) if not word.startswith("-") and "=" in word]
        single = [word.replace("glob(*)", "alexnet") for word in words]
        # What only a sweeper understands is left out: intervals, and lists of keys or settings.
        compose(*(word.partition(",")[0] for word in single if "(" not in word and "[" not in word))


def run(command: list[str], folder: Path, **environment: str) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=420, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr + done.stdout


def write(folder: Path, block: str) -> None:
    """A block whose first line names the file that it belongs into: `# mypackage/mynet.py`."""
    name, _, text = block.partition("\n")
    path = folder / name.removeprefix("# ")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.slow
def test_a_network_and_an_optimizer_are_added_as_the_page_says(tmp_path: Path) -> None:
    page = PAGES["vision.md"].partition("## Add your own")[2]
    found = [*blocks(page, "python"), *blocks(page, "yaml")]
    assert len(found) == 3
    for block in found:
        write(tmp_path, block)
    typed = [line for block in blocks(page) for line in block.splitlines() if "python -m sweeps" in line]
    assert len(typed) == 2
    few = ["dataset=fashion_mnist_mini", "dataset.limit=20", "dataset.test_limit=10", "trainer.epochs=1", "device=cpu"]
    for line in typed:
        words = [*shlex.split(line), *few]
        environment = dict(word.split("=", 1) for word in words[: words.index("python")])
        path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        run([sys.executable, *words[words.index("python") + 1 :]], tmp_path, PYTHONPATH=path, **environment)


SCRIPT = """
import hydra
import sweeps


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def train(cfg):
    run = sweeps.current_run()
    for step in range(1, 5):
        run.report({"score": cfg.score * step})


if __name__ == "__main__":
    train()
"""
CONFIG = """
defaults:
  - sweep: default
  - _self_
score: 1.0
seed: 0
sweep:
  objective: {metric: score, direction: max, split: val}
  max_steps: 4
"""


@pytest.mark.slow
def test_a_pruner_a_tracker_and_a_panel_of_ones_own_work_as_the_pages_say(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "conf" / "config.yaml").write_text(CONFIG)
    for page, title in (("pruning.md", "A pruner"), ("trackers.md", "A tracker"), ("report.md", "Sections")):
        text = PAGES[page].partition(f"\n## {title} of your own\n")[2].partition("\n## ")[0]
        for block in (*blocks(text, "python"), *blocks(text, "yaml")):
            write(tmp_path, block)
    words = ["train.py", "-m", "score=0.1,1", "sweep/pruner=threshold", "sweep/tracker=print", "sweep.name=own"]
    environment = {"SWEEPS_ALLOW_TARGETS": "mypackage", "PYTHONPATH": str(tmp_path)}
    environment["PYTHONPATH"] += os.pathsep + os.environ.get("PYTHONPATH", "")
    words += ["sweep.hooks.panels=mypackage.panels.panels", "hydra.launcher.workers=0"]
    run([sys.executable, *words], tmp_path, **environment)
    states = {
        path.parent.name: json.loads(path.read_text())["status"] for path in tmp_path.glob("multirun/own/*/run.json")
    }
    assert states == {"score=0.1": "pruned", "score=1": "completed"}
    run([sys.executable, "-m", "sweeps", "report", "--no-figures", "multirun/own"], tmp_path, **environment)
    assert ">Parameters</h2>" in (tmp_path / "multirun/own/report.html").read_text()


@pytest.mark.slow
def test_scikit_learn_needs_no_integration(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    page = PAGES["integrations.md"].partition("## scikit-learn")[2]
    imports = (
        "import hydra\nfrom sklearn.datasets import load_digits\nfrom sklearn.ensemble import RandomForestClassifier\n"
        "from sklearn.model_selection import cross_val_score\n\n"
    )
    (tmp_path / "conf").mkdir()
    (tmp_path / "train.py").write_text(
        imports + blocks(page, "python")[0] + '\n\nif __name__ == "__main__":\n    train()\n'
    )
    (tmp_path / "conf" / "config.yaml").write_text(blocks(page, "yaml")[0])
    (command,) = blocks(page)
    run([sys.executable, *shlex.split(command.replace("10,100,1000", "3,5").replace("4,8,null", "2"))[1:]], tmp_path)
    assert len(list(tmp_path.glob("multirun/forest/*/run.json"))) == 6
