"""What others may read shows no secret (records, Hydra's files, commands, diffs), and a run stays the same run."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from sweeps.config import SweepConfig
from sweeps.record.identity import run_id
from sweeps.record.masking import is_secret, shown, shown_text, shown_words, shown_yaml
from sweeps.record.provenance import code_diff, environment
from sweeps.record.recording import describe_failure, new_record
from sweeps.record.records import RunDir
from sweeps.record.resolved import resolve as resolve_run

SECRETS = [
    *("token", "HF_TOKEN", "tracker.mlflow.token", "auth_token", "authToken", "api_key", "WANDB_API_KEY", "apiKey"),
    *(
        "password",
        "db.passwd",
        "PASSWORD1",
        "passphrase",
        "client_secret",
        "AWS_SECRET_ACCESS_KEY",
        "auth",
        "credentials",
    ),
]
ORDINARY = ["num_tokens", "token_dim", "tokenizer", "author", "key", "keys", "sha256", "labels", "model", "optim.lr"]


@pytest.mark.parametrize("name", SECRETS)
def test_a_name_tells_a_secret(name):
    assert is_secret(name)
    assert shown_words([f"{name}=x1y2", f"--{name}", "x1y2", f"+{name}=x1y2", "lr=1"])[-1] == "lr=1"
    for text in (
        *shown_words([f"{name}=x1y2", f"--{name}", "x1y2", f"--{name}=x1y2", f"++{name}='x1y2 z'"]),
        shown_text(f"+export {name}=x1y2\n"),
        shown_text(f"-{name}: x1y2 x1y2\n"),
        shown_text(f'+    {name} = "x1y2"\n'),
        shown_text(f"run --{name} x1y2 --lr 1"),
        shown_text(f'{{"{name}": "x1y2", "lr": 1}}'),
        shown_text(f"+a={{{name}:x1y2,lr:1}}"),
        json.dumps(shown({"a": [{name: "x1y2"}]})),
        json.dumps(shown({name: {"deep": ["x1y2"]}})),
    ):
        assert "x1y2" not in text


@pytest.mark.parametrize(
    "config",
    [
        {"connection": "Server=x;Password=x1y2;Port=1"},
        {"tokens": ["x1y2", "aaa"]},
        {"api_tokens": {"hub": "x1y2"}},
        {"auth_header": "x1y2"},
        {"header": "Bearer x1y2"},
        {"headers": ["Accept: all", "Authorization: Basic eDF5Mg==x1y2"]},
        {"header": "Basic eDF5Mg==x1y2"},
        {"deep": [{"call": "curl --token x1y2"}]},
    ],
    ids=lambda config: next(iter(config)),
)
def test_every_file_hides_the_same(config):
    (key,) = config
    text = f"{key}={config[key]}".replace("'", "")
    record, hydra = json.dumps(shown(config)), shown_yaml(OmegaConf.create(config))
    for file in (record, hydra, *shown_words([text, f"+{text}"]), shown_text(text)):
        assert "x1y2" not in file
        assert "***" in file
    assert yaml.safe_load(hydra) == json.loads(record)


@pytest.mark.parametrize(
    "config",
    [{"tokens": 300_000_000}, {"tokens": [1, 2]}, {"tokens": {"pad": 0}}, {"tokens": 1e9}, {"block": "Basic residual"}],
    ids=str,
)
def test_a_number_of_tokens_is_no_secret(config):
    (key,) = config
    word = f"{key}={config[key]}"
    assert shown(config) == config
    assert yaml.safe_load(shown_yaml(config)) == config
    assert isinstance(config[key], dict) or (shown_words([word]), shown_text(word)) == ([word], word)


@pytest.mark.parametrize("name", ORDINARY)
def test_other_names_hide_nothing(name):
    assert not is_secret(name)
    for text in (f"{name}=x1y2", f"+{name}: x1y2", f"--{name} x1y2", f'{name} = "x1y2"'):
        assert shown_text(text) == text
    assert shown_words([f"--{name}", "x1y2"]) == [f"--{name}", "x1y2"]


@pytest.mark.parametrize(
    "word",
    [
        "+x={password:aaa x1y2}",
        "+x={token:[aaa,x1y2]}",
        "+x=[{auth:{user:aaa,pw:x1y2}}]",
        "+model.token=${oc.env:X}x1y2",
        "uri=postgresql://aaa:p@x1y2@host/db",
        "uri=postgresql://aaa:p/x1y2@host/db",
        "uri=https://x1y2@host/db",
    ],
)
def test_no_part_of_a_secret_is_left(word):
    (found,) = shown_words([word])
    assert "x1y2" not in found
    assert "aaa" not in found
    assert found.startswith(word.partition("=")[0])


def test_a_reference_to_the_environment_hides_nothing_and_stays():
    assert shown_words(["+model.token=${oc.env:X}"]) == ["+model.token=${oc.env:X}"]
    assert shown_words(["sweep.exclude=[{model:nin,optim.lr:1.0}]", "u=http://host:80/x"]) == [
        "sweep.exclude=[{model:nin,optim.lr:1.0}]",
        "u=http://host:80/x",
    ]


def test_a_url_is_shown_without_its_password():
    assert shown({"uri": "postgresql://me:x1y2@host/db"}) == {"uri": "postgresql://***@host/db"}
    assert shown_words(["sweep.tracker.mlflow.uri=http://me:x1y2@host:80"]) == [
        "sweep.tracker.mlflow.uri=http://***@host:80"
    ]


def test_what_is_unset_or_a_switch_is_no_secret():
    assert shown({"token": None, "auth": True, "password": ""}) == {"token": None, "auth": True, "password": ""}


def test_an_ordinary_config_is_shown_as_it_is(compose):
    config = compose("dataset=fashion_mnist_mini")
    assert shown(config) == config


@pytest.fixture
def environ(monkeypatch):
    monkeypatch.setenv("MY_DATA", "/data/of/mine")
    monkeypatch.setenv("MY_TOKEN", "x1y2z3")
    monkeypatch.setenv("MY_LR", "0.25")
    monkeypatch.setenv("MY_INIT", "kaiming")


def resolve(config):
    """The plain config of an application."""
    return resolved_of(config).config


def resolved_of(config):
    node = OmegaConf.structured(SweepConfig(ignore=["output", "tracker", "dataset.root"]))
    return resolve_run(OmegaConf.merge(OmegaConf.create({"sweep": node}), config), ())


CONFIG = {
    "dataset": {"root": "${oc.env:MY_DATA}", "name": "mini"},
    "output": "${dataset.root}/sweeps",
    "optim": {"lr": "${oc.decode:${oc.env:MY_LR}}", "note": "${oc.env:NOBODY_HAS_IT,none}"},
    "tracker": {"a": "${oc.env:MY_TOKEN}", "b": ["${tracker.a}", "plain"], "token": "typed"},
    "init": "${oc.env:MY_INIT}",
    "seed": 0,
}


def test_text_of_the_environment_is_shown_as_it_was_written_and_numbers_as_numbers(environ):
    config = resolve(OmegaConf.create(CONFIG))
    assert config["dataset"]["root"] == "/data/of/mine"
    assert config["tracker"]["b"] == ["x1y2z3", "plain"]
    seen = shown(config)
    assert seen["dataset"] == {"root": "${oc.env:MY_DATA}", "name": "mini"}
    assert seen["output"] == "${oc.env:MY_DATA}/sweeps"
    assert seen["tracker"] == {"a": "${oc.env:MY_TOKEN}", "b": ["${oc.env:MY_TOKEN}", "plain"], "token": "***"}
    assert seen["optim"]["lr"] == 0.25
    assert re.fullmatch(r"\$\{oc\.env:MY_INIT\} #[0-9a-f]{6}", seen["init"])


def test_a_short_value_of_the_environment_is_not_looked_for_in_other_texts(monkeypatch):
    monkeypatch.setenv("ONE", "1")
    config = {"threads": "${oc.env:ONE}", "same": "${threads}", "name": "mnist-10", "other": "${name}"}
    seen = shown(resolve(OmegaConf.create(config)))
    assert seen["same"].startswith("${oc.env:ONE}")
    assert seen["other"] == "mnist-10"


def test_settings_from_the_environment_stay_apart_and_a_run_the_same(environ, monkeypatch):
    first = resolved_of(OmegaConf.create(CONFIG))
    assert first.run_id == run_id(json.loads(json.dumps(first.config)), first.ignore)  # as if it had been typed
    monkeypatch.setenv("MY_INIT", "xavier")
    second = resolved_of(OmegaConf.create(CONFIG))
    assert first.run_id != second.run_id
    assert shown(first.config) != shown(second.config)
    monkeypatch.setenv("MY_DATA", "/elsewhere")
    assert second.run_id == resolved_of(OmegaConf.create(CONFIG)).run_id


def test_a_failure_shows_no_text_of_the_environment(environ):
    config = resolve(OmegaConf.create(CONFIG))
    try:
        raise RuntimeError("no file in /data/of/mine/raw, token=abcdef")
    except RuntimeError as error:
        failure = describe_failure(error, config)
    assert failure.text.startswith("RuntimeError: no file in ${oc.env:MY_DATA}/raw, token=*** (test_masking.py:")
    assert "/data/of/mine" not in failure.traceback


def test_a_command_is_recorded_without_secrets(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["-m", "-m", "sweep.tracker.mlflow.token=x1y2", "--password", "x1y2", "seed=0"])
    assert environment("cpu", None)["command"][1:] == [
        "-m",
        "sweep.tracker.mlflow.token=***",
        "--password",
        "***",
        "seed=0",
    ]


def test_a_diff_is_recorded_without_secrets(monkeypatch):
    diff = "diff --git a/x b/x\n-HF_TOKEN=x1y2\n+optim.lr=0.1\n+password: x1 y2"
    monkeypatch.setattr("sweeps.record.provenance.code_state", lambda code: {"commit": "0", "dirty": True})
    monkeypatch.setattr("sweeps.record.provenance._output", lambda *_: diff)
    assert code_diff(Path()) == "diff --git a/x b/x\n-HF_TOKEN=***\n+optim.lr=0.1\n+password: ***"


def test_a_record_is_written_without_secrets(resolved):
    run = dataclasses.replace(resolved(), config=resolved().config | {"token": "x1y2"})
    record = new_record(run, name="a", sweep="s", overrides=["+token=x1y2", "seed=0"])
    assert record.overrides == ["+token=***", "seed=0"]
    assert "x1y2" not in record.to_json()


def test_a_record_is_not_for_the_world(resolved, tmp_path):
    before = os.umask(0o022)
    try:
        RunDir(tmp_path).write(new_record(resolved(), name="a", sweep="s", overrides=[]))
        assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o640
        os.umask(0o077)
        RunDir(tmp_path).write(new_record(resolved(), name="a", sweep="s", overrides=[]))
        assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


@pytest.mark.slow
def test_nothing_of_a_sweep_holds_a_secret(tmp_path):
    """Two runs, one after the other and again: every file they leave, and the page."""
    environ = os.environ | {"MY_TOKEN": "x1y2z3", "MY_DATA": "/data/of/nobody"}
    command = [
        *(sys.executable, "-m", "sweeps", "-m", "seed=0", "dataset=fashion_mnist_mini", "device=cpu", "sweep.name=x"),
        *("dataset.limit=100", "dataset.test_limit=50", "trainer.epochs=1", "sweep/tracker=[tensorboard,csv]"),
        *("dataset.root='${oc.env:MY_DATA}'", "+dataset.source.remedies=['${oc.env:MY_TOKEN}']"),
        "+hydra.job.env_set.OTHER_TOKEN=a9b8c7",
    ]
    for says in ("1 to do", "0 to do"):
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert says in done.stdout
    report = [sys.executable, "-m", "sweeps.report", "multirun/x"]
    subprocess.run(report, cwd=tmp_path, env=environ, check=True, capture_output=True, timeout=300)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"run.json", "sweep.json", "multirun.yaml", "config.yaml", "hydra.yaml"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        for secret in (b"x1y2z3", b"/data/of/nobody", b"a9b8c7"):
            assert secret not in content, path
        if path.suffix in (".json", ".yaml") and path.name != "confusion.json":
            assert path.stat().st_mode & 0o007 == 0, path
