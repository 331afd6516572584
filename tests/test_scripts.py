"""What the tests need beyond Python is named once, and whoever lacks it is told what to install."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = dict(
    line.split(maxsplit=1)
    for line in (ROOT / "scripts" / "packages.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)
LACKING = [package for package, signs in PACKAGES.items() if not Path(signs).is_dir()]
INSTALL = re.compile(r"apt-get install ((?:-\S+ )*)([a-z0-9 -]+)")


@pytest.fixture
def bare(tmp_path):
    """Run scripts/test where no package has left a command."""
    for name in ("bash", "dirname", "env"):
        (tmp_path / name).symlink_to(shutil.which(name))

    def call(*arguments, **environment):
        clean = {key: value for key, value in os.environ.items() if key != "CI"}
        return subprocess.run(
            [ROOT / "scripts" / "test", *arguments], capture_output=True, text=True, check=False,
            env=clean | {"PATH": str(tmp_path), "PYTHON": "/bin/false"} | environment,
        )  # fmt: skip

    return call


def test_missing_packages_can_be_listed(bare):
    done = bare("--missing")
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, LACKING, "")


def test_what_is_missing_is_said_in_one_line_before_anything_else(bare):
    first = bare().stderr.splitlines()[0]
    assert first.startswith("scripts/test: some tests will be skipped; to run all of them: apt-get install ")
    assert first.endswith(" ".join(LACKING))


def test_in_ci_it_is_an_error(bare):
    done = bare(CI="true")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"scripts/test: some tests need packages that are missing: apt-get install --no-install-recommends "
        f"{' '.join(LACKING)}"
    ]


@pytest.mark.skipif(not (ROOT / ".ci").is_dir(), reason="no checkout")
def test_ci_installs_what_the_tests_name_and_nothing_else():
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert [line.split("--no-install-recommends ")[1] for line in text.splitlines() if "apt-get install" in line] == [
        "$missing >/dev/null"
    ]
    assert "CI=true scripts/test" in text


def test_reasons_of_skipped_tests_and_contributing_name_packages_of_the_list():
    files = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    named = {
        package
        for path in files
        for line in path.read_text(encoding="utf-8").splitlines()
        if "reason=" in line or "pytest.skip(" in line
        for _, packages in INSTALL.findall(line)
        for package in packages.split()
    }
    assert named
    assert named <= PACKAGES.keys()
    assert all(f"`{package}`" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8") for package in PACKAGES)
