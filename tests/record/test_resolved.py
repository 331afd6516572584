"""What identifies a run: what its place, its time and its seed make different tells no settings apart."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig, OmegaConf

from sweeps.config import SweepConfig, mount_of
from sweeps.errors import ConfigError
from sweeps.record.identity import digest
from sweeps.record.recording import new_record
from sweeps.record.resolved import resolve


class Kind(Enum):
    A = 1
    B = 2


@dataclass
class Application:
    kind: Kind = Kind.A
    data: Path = Path("data")
    table: dict[int, str] = field(default_factory=lambda: {1: "a"})
    never_set: str = MISSING


def application(settings: dict[str, Any] | None = None, mount: str = "sweep", **own: Any) -> DictConfig:
    node = OmegaConf.structured(SweepConfig(**(settings or {})))
    return OmegaConf.create({mount: node, "seed": 0, "lr": 0.1, **own})


def ids(cfg: DictConfig, *folders: str) -> tuple[str, str]:
    found = resolve(cfg, [Path(folder) for folder in folders])
    return found.run_id, found.setting_id


def test_runs_of_other_seeds_are_one_setting():
    one, other = application(seed=0), application(seed=1)
    assert ids(one)[0] != ids(other)[0]
    assert ids(one)[1] == ids(other)[1]
    assert ids(application(lr=0.2))[1] != ids(one)[1]


@pytest.mark.parametrize(
    "follows",
    [
        {"loader_seed": "${seed}"},
        {"data": {"seed": "${..seed}"}},
        {"name": "run_${lr}_${seed}", "logger": {"id": "${name}"}},
        {"seeds": ["${seed}", 7]},
        {"loader_seed": "${oc.select:seed}", "other": "${oc.select: 'seed', 0}"},
        {"loader_seed": "${[seed]}"},
        {"seeds": ["${seed}", 7], "first": "${seeds[0]}"},
        {"parts": [{"seed": "${seed}", "rate": "${lr}"}], "first": "${parts[0].seed}"},
        {"data": {"seed": "${seed}", "seeds": ["${..seed}"], "parts": [{"seed": "${...seed}"}]}},
    ],
    ids=["absolute", "relative", "by way of others", "in a list", "by a resolver", "in brackets", "out of a list",
         "in a mapping in a list", "relative, in a list"],
)  # fmt: skip
def test_what_follows_from_the_seed_tells_no_settings_apart(follows):
    assert ids(application(seed=0, **follows))[1] == ids(application(seed=1, **follows))[1]
    assert ids(application(seed=0, **follows))[1] != ids(application(seed=0, lr=1, **follows))[1]


def test_what_stands_beside_the_seed_in_a_list_is_a_setting():
    def setting(seed: int, width: int) -> str:
        return ids(application(seed=seed, parts=[{"width": width, "seed": "${seed}"}, 7]))[1]

    assert setting(0, 8) == setting(1, 8)
    assert setting(0, 8) != setting(0, 16)


def test_another_key_may_hold_the_seed():
    def run(seed: int) -> tuple[str, str]:
        return ids(application({"seed_key": "train.random_state"}, train={"random_state": seed}))

    assert run(1)[0] != run(2)[0]
    assert run(1)[1] == run(2)[1]


def test_a_run_is_the_same_wherever_and_whenever_it_is_done():
    def run(folder: str) -> tuple[str, str]:
        return ids(application(out=f"{folder}/models", name="${now:%H%M%S%f}", log="${name}.txt"), folder)

    assert run("/a/one") == run("/b/other")


@pytest.fixture
def hydra(monkeypatch):
    """What `${hydra:...}` reads, for the run in a folder."""

    def at(folder: str) -> None:
        runtime = {"output_dir": folder, "cwd": str(Path(folder).parents[1])}
        monkeypatch.setattr(HydraConfig.instance(), "cfg", OmegaConf.create({"hydra": {"runtime": runtime}}))

    return at


@pytest.mark.parametrize("of_hydra", ["${hydra:runtime.output_dir}/x", "${hydra:runtime.cwd}/x", "${now:%H%M%S%f}x"])
def test_a_folder_of_hydra_is_no_setting_but_what_stands_beside_it_is(of_hydra, hydra):
    def run(folder: str, **own: Any) -> tuple[str, str]:
        hydra(folder)
        return ids(application(**{"out": of_hydra, "at": "${out}", **own}), folder)

    assert run("/a/s/one") == run("/b/s/other")
    assert run("/a/s/one") != run("/a/s/one", out=f"{of_hydra}_b")
    assert run("/a/s/one") != run("/a/s/one", at="${out}/b")


@pytest.mark.parametrize("folders", [("/x/s/r1", "/x/s"), ("/x/r1", "/x")], ids=["sweep", "single run"])
@pytest.mark.parametrize("place", ["{}_a/w", "{}/data_a", "{},b/w", "/y{}", "{}"])
def test_a_path_beside_or_below_the_folder_of_a_sweep_is_a_setting(folders, place):
    value = place.format(folders[1])
    assert ids(application(data=value), *folders) != ids(application(data=f"{value}b"), *folders)


def test_a_record_says_what_its_identity_rests_on(hydra):
    hydra("/a/s/one")
    own = {"out": "${hydra:runtime.output_dir}/x", "data": "${hydra:runtime.cwd}/d", "key": "/a/s/other"}
    resolved = resolve(application(**own), [Path("/a/s/one"), Path("/a/s")])
    record = new_record(resolved, name="one", sweep="s", overrides=[])
    assert record.config["out"] == "/a/s/one/x"
    found = record.settings()
    assert (found["out"], found["data"], found["key"]) == (
        "@hydra:runtime.output_dir@/x",
        "@hydra:runtime.cwd@/d",
        "@folder1@/other",
    )
    assert digest(found) == record.run_id


def test_keys_that_are_ignored_tell_no_runs_apart():
    def run(device: str, workers: int) -> tuple[str, str]:
        return ids(application({"ignore": ["device", "loader"]}, device=device, loader={"workers": workers}))

    assert run("cpu", 1) == run("cuda", 8)
    assert ids(application(device="cpu")) != ids(application(device="cuda"))


def test_settings_of_the_sweep_tell_no_runs_apart_wherever_they_stand():
    assert ids(application({"retries": 3, "name": "a"})) == ids(application())
    other = application({"retries": 3}, mount="engine", sweep={"n": 3})
    assert mount_of(other) == "engine"
    assert ids(other) != ids(application({"retries": 3}, mount="engine", sweep={"n": 4})), "its own key is its own"


def test_what_json_does_not_know_is_text():
    cfg = OmegaConf.merge(application(), OmegaConf.structured(Application))
    config = resolve(cfg, ()).config
    assert (config["kind"], config["data"], config["table"], config["never_set"]) == ("A", "data", {"1": "a"}, "???")


def test_a_value_that_cannot_be_resolved_stays_as_it_was_written():
    cfg = application(unused="${oc.env:NOBODY_HAS_IT}", nested={"a": "${nowhere.at.all}", "b": "${lr}"})
    config = resolve(cfg, ()).config
    assert (config["unused"], config["nested"]) == ("${oc.env:NOBODY_HAS_IT}", {"a": "${nowhere.at.all}", "b": 0.1})


def test_a_seed_is_one_value():
    with pytest.raises(ConfigError, match=r"sweep\.seed_key=optim is invalid: it has to name a single value"):
        resolve(application({"seed_key": "optim"}, optim={"lr": 1}), ())


def test_a_config_without_the_engine_is_told_the_line_to_add():
    with pytest.raises(ConfigError, match="add `- sweep: default` to its defaults list"):
        resolve(OmegaConf.create({"lr": 1}), ())
