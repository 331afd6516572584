"""Runs keep their identity and their folder as a grid grows, and no two share one."""

import copy
import os.path
import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sweeps.errors import ConfigError
from sweeps.record.identity import NAME_LIMIT, differences, run_id, run_name, settings_of, sweep_folder

# Settings of the shipped application that cannot change a result. A key that is added here makes old and new runs one.
WITHOUT_EFFECT = {
    "sweep",
    "device",
    "dataset.root",
    "dataset.source.folders",
    "dataset.source.remedies",  # what is printed when files are missing
    "dataset.source.torchvision",  # where they would be downloaded from
    "trainer.capture",
    "trainer.threads",
    "trainer.report_every",
    "trainer.save_weights",
    "trainer.save_predictions",
}
IGNORE = ("sweep", "device", "dataset.root", "trainer.threads")

NONE = "the settings are the same, but the release gives them another meaning"


def leaves(node, prefix=()):
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from leaves(value, (*prefix, key))
    else:
        yield prefix


def with_other(config, path):
    config = copy.deepcopy(config)
    node = config
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = "something else"
    return config


def test_every_setting_that_can_change_the_result_changes_the_identity(resolved):
    run = resolved("sweep.name=a", "dataset=fashion_mnist")
    paths = list(leaves(run.config))
    assert len(paths) > 40
    without_effect = {path for path in paths if run_id(with_other(run.config, path), run.ignore) == run.run_id}
    expected = {path for path in paths if {".".join(path[:n]) for n in range(1, len(path) + 1)} & WITHOUT_EFFECT}
    assert {".".join(path) for path in without_effect} == {".".join(path) for path in expected}
    assert {"device", "trainer.threads", "sweep.name"} <= {".".join(path) for path in without_effect}


def test_the_identity_of_settings_stays_what_it_was():
    """It may change only together with RESULT_VERSION: runs of older releases are not found again otherwise."""
    config = {"model": {"_target_": "sweeps.vision.models.nin", "blocks": [[96, 11]]}, "optim": {"lr": 0.1}, "seed": 0}
    assert run_id(config, ()) == "3cd7ff6171c1"


def test_the_identity_does_not_depend_on_the_order_of_keys(resolved):
    run = resolved("sweep.name=a")
    shuffled = {key: run.config[key] for key in sorted(run.config, reverse=True)}
    assert list(shuffled) != list(run.config)
    assert run_id(shuffled, run.ignore) == run.run_id
    assert len(run.run_id) == 12
    assert set(run.run_id) <= set("0123456789abcdef")


def test_overrides_of_other_models_do_not_share_an_identity(resolved):
    ids = {resolved(f"model={model}", "sweep.name=a").run_id for model in ("nin", "vgg11", "alexnet", "lenet_bn")}
    assert len(ids) == 4


def test_seeds_of_a_setting_share_it_and_settings_do_not(resolved):
    runs = [resolved(f"optim.lr={lr}", f"seed={seed}") for lr in (0.1, 0.2) for seed in (0, 1, 2)]
    assert len({run.run_id for run in runs}) == 6
    assert len({run.setting_id for run in runs}) == 2
    assert len({resolved(f"device={device}").setting_id for device in ("cpu", "cuda:1", "auto")}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"lr": 1}, {"lr": 1.0}),
        ({"a": {"lr": 100.0}}, {"a": {"lr": 100}}),
        ({"betas": [0, 0.9]}, {"betas": [0.0, 0.9]}),
        ({"blocks": [[1, 64]]}, {"blocks": [[1.0, 64]]}),
    ],
)
def test_a_whole_number_is_the_same_however_it_is_written(one, other):
    assert run_id(one, ()) == run_id(other, ())
    assert differences(settings_of(one, ()), settings_of(other, ())) == NONE


def test_numbers_that_differ_are_not_the_same():
    assert len({run_id({"lr": lr}, ()) for lr in (0, 1, 1.5, -1, 1e30, 1e-30, None, "1", True, [1], [])}) == 11


def test_differences_name_the_settings_that_matter():
    old = {"optim": {"lr": 0.1, "momentum": 0.0}, "seed": 0, "device": "cpu", "sweep": "a"}
    new = {"optim": {"lr": 0.2, "momentum": 0.0}, "seed": 1, "device": "cuda", "sweep": "b"}
    one, other = settings_of(old, IGNORE), settings_of(new, IGNORE)
    assert differences(one, other) == "optim.lr: 0.1 -> 0.2, seed: 0 -> 1"
    assert differences(one, one) == NONE


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-3, 3, allow_subnormal=False)
    | st.sampled_from(["", "1", "a"]),
    lambda values: st.lists(values, max_size=2),
    max_leaves=4,
)
CONFIGS = st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, max_size=3)


@given(CONFIGS, CONFIGS)
@example({"a": None}, {})  # an option that a later release adds
@example({"a": True}, {"a": 1})
@example({"a": False}, {"a": 0.0})
@example({"a": "1"}, {"a": 1})
@example({"a": []}, {"a": {}})
def test_there_are_differences_exactly_where_the_identity_differs(one, other):
    assert (run_id(one, ()) != run_id(other, ())) == (differences(settings_of(one, ()), settings_of(other, ())) != NONE)


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "default"),
        (["model=alexnet"], "model=alexnet"),
        (["optim.lr=0.01", "model=alexnet"], "model=alexnet,optim.lr=0.01"),
        (["model=alexnet", "optim.lr=0.01", "sweep.name=study", "sweep.output=/data"], "model=alexnet,optim.lr=0.01"),
        (["device=cuda:1", "sweep/tracker=none", "trainer.threads=1", "seed=3"], "seed=3"),
        (["sweep.name=study"], "default"),
        (["sweep.tracker.x.images=3", "dataset.root=/data", "seed=3"], "seed=3"),
        (["seed=1", "seed=2"], "seed=2"),
        (["+optim.maximize=true", "~optim.nesterov"], "+optim.maximize=true,~optim.nesterov"),
        (["optim.lr=1e-05", "trainer.epochs=3"], "optim.lr=1e-05,trainer.epochs=3"),
    ],
)
def test_a_run_is_named_by_what_was_asked_for(overrides, name):
    assert run_name(overrides, IGNORE) == name


@pytest.mark.parametrize(
    "value", ["[1,2]", "a/b", "a b", "ü", "'x'", "${seed}", "a\\,b", "*", 'a"b', "a\nb", "\x00", "a:b", "x" * 300]
)
def test_a_name_that_no_folder_may_have_is_mended_and_told_apart_by_a_hash(value):
    name = run_name([f"model.x={value}"])
    assert_is_a_folder_name(name)
    assert name.startswith("model.x=")
    assert name != run_name([f"model.x={value}!"])
    assert name == run_name([f"model.x={value}"])


def test_long_names_stay_readable_at_the_start_and_distinct():
    many = [f"model.option{number}=some_value" for number in range(20)]
    names = {run_name([*many, f"seed={seed}"]) for seed in range(20)}
    assert len(names) == 20
    for name in names:
        assert_is_a_folder_name(name)
        assert name.startswith("model.option0=some_value,model.option1=some_value")


def assert_is_a_folder_name(name):
    assert 0 < len(name.encode()) <= NAME_LIMIT
    assert set(name) <= set(string.ascii_letters + string.digits + "=.,+_@~-")
    assert name not in (".", "..")


# A comma within a value is quoted or escaped, or the value is a list or a choice.
KEYS = st.from_regex(r"[a-z_]{1,8}([./][a-z_]{1,8})?", fullmatch=True)
TEXT = st.text(st.characters(exclude_characters=",", exclude_categories=["Cs"]), max_size=40)
OVERRIDES = st.dictionaries(KEYS, st.one_of(TEXT, st.from_regex(r"\[[0-9.]*,[0-9.]*\]", fullmatch=True)), max_size=6)


def named(overrides):
    return run_name([f"{key}={value}" for key, value in overrides.items()], IGNORE)


@settings(max_examples=50)
@given(OVERRIDES, OVERRIDES)
def test_distinct_overrides_have_distinct_names(one, other):
    hidden = ("hydra", *IGNORE)
    one, other = (
        {key: value for key, value in overrides.items() if re.split("[./]", key)[0] not in hidden}
        for overrides in (one, other)
    )
    assert (named(one) == named(other)) == (one == other)


@settings(max_examples=50)
@given(OVERRIDES, st.randoms(use_true_random=False))
def test_a_name_does_not_depend_on_the_order_of_the_overrides(overrides, random):
    items = list(overrides.items())
    random.shuffle(items)
    assert named(dict(items)) == named(overrides)
    assert_is_a_folder_name(named(overrides))


@pytest.mark.parametrize(
    "sweep",
    [
        "../x", "a/../../x", "..", ".", "a/.", "/etc", "/", "", "a//b", "a/", "/a",
        "nul\x00", "line\nbreak", "tab\t", "\x1b[31mred", "x" * 300, "a/" + "x" * 300, "ü" * 100,
    ],
)  # fmt: skip
def test_a_sweep_cannot_leave_the_output_folder(sweep):
    with pytest.raises(ConfigError, match="is invalid") as refused:
        sweep_folder("multirun", sweep)
    assert str(refused.value).startswith("sweep.name=")
    assert str(refused.value).isprintable()


def test_the_refusal_of_a_sweep_names_rule_and_way_out():
    with pytest.raises(
        ConfigError, match=r"sweep.name='\.\./x' is invalid: .* a folder below out, such as sweep.name=lr_study"
    ):
        sweep_folder("out", "../x")
    with pytest.raises(ConfigError, match="300 characters, 120 are allowed"):
        sweep_folder("out", "x" * 300)


@pytest.mark.parametrize(
    "sweep", ["lr_study", "2026-01-31/12-00-00", "a b", "größe", "...", "..a", "x" * NAME_LIMIT, 7]
)
def test_a_sweep_is_a_folder_below_output(sweep):
    assert sweep_folder("multirun", sweep) == f"multirun/{sweep}"
    assert sweep_folder("/data/runs", sweep) == f"/data/runs/{sweep}"


@given(st.text(st.sampled_from("./\\ab\x00\n~ é"), max_size=12))
def test_whatever_is_accepted_stays_below_output(sweep):
    try:
        folder = sweep_folder("/out", sweep)
    except ConfigError:
        return
    assert os.path.normpath(folder) == folder
    assert folder.startswith("/out/")
    assert "\x00" not in folder
