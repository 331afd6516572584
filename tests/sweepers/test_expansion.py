"""Which runs a command line means: combinations, values side by side, exclusions, seeds."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from sweeps.config import SweepConfig
from sweeps.errors import ConfigError
from sweeps.sweepers.expansion import expand, is_of_sweep


def runs_of(*arguments, mount="sweep", application=None, **settings):
    """The runs of an application with these `settings` of the sweep."""
    config = OmegaConf.create(application or {"seed": 0, "model": "nin"})
    OmegaConf.update(config, mount, OmegaConf.merge(OmegaConf.structured(SweepConfig), settings), force_add=True)
    OmegaConf.set_struct(config, True)
    return [",".join(run) for run in expand(OverridesParser.create().parse_overrides(list(arguments)), config)]


def test_values_combine_crosswise():
    assert runs_of("a=1,2", "b=x,y", "c=5") == ["a=1,b=x,c=5", "a=1,b=y,c=5", "a=2,b=x,c=5", "a=2,b=y,c=5"]
    assert runs_of("a=1", "a=2") == ["a=2"], "of equal keys the last one counts"
    assert runs_of() == [""]


def test_repeats_are_seeds_and_no_run_knows_the_word():
    assert runs_of("a=1", "sweep.repeats=3", repeats=3) == ["seed=0,a=1", "seed=1,a=1", "seed=2,a=1"]
    assert runs_of("a=1,2", "+sweep.zip=[]", "++sweep.exclude=[]") == ["a=1", "a=2"]


@pytest.mark.parametrize(
    ("swept", "mount"),
    [
        ("sweep.repeats=2,3", "sweep"),
        ("sweep/pruner=asha,median", "sweep"),
        ("+sweep/tracker=csv,none", "sweep"),
        ("sweep.pruner.min_resource=1,2", "sweep"),
        ("sweep/pruner@engine.pruner=asha,median", "engine"),
        ("+sweep/pruner@_global_.engine.pruner=asha,median", "engine"),
        ("++engine.retries=0,1", "engine"),
        ("hydra.job.chdir=true,false", "sweep"),
    ],
)
def test_what_is_of_the_whole_sweep_has_one_value(swept, mount):
    with pytest.raises(ConfigError, match=r"is invalid with several values \(.*\): it is a setting of the whole sweep"):
        runs_of("a=1,2", swept, mount=mount)


def test_where_the_engine_is_mounted_elsewhere_the_key_sweep_is_the_applications_own():
    assert runs_of("sweep=1,2", "sweep.repeats=3,4", mount="engine", repeats=1) == [
        f"seed=0,sweep={sweep},sweep.repeats={repeats}" for sweep in (1, 2) for repeats in (3, 4)
    ]
    assert not is_of_sweep("sweeping.lr", "sweep")
    assert not is_of_sweep("+sweep/lr@optim", "sweep")


@pytest.mark.parametrize(
    ("application", "says"),
    [
        ({"trainer": {"random_seed": 0}}, "it has trainer.random_seed, so add sweep.seed_key=trainer.random_seed"),
        ({"sead": 0}, "it has sead, so add sweep.seed_key=sead, or add seed: 0 to the config"),
        ({"lr": 0.1}, r"add one \(seed: 0\), or name it: sweep.seed_key=KEY"),
    ],
)
def test_repeats_need_a_key_for_the_seed(application, says):
    with pytest.raises(
        ConfigError, match=f"repeats=2 is invalid: the config has no key seed for the seed of a run; {says}"
    ):
        runs_of("lr=1", application=application, repeats=2)


@pytest.mark.parametrize("value", ["???", None, "${oc.env:NOWHERE}", 3])
def test_the_seed_may_be_at_any_key_and_have_any_value(value):
    application = {"trainer": {"random_seed": value}}
    found = runs_of("lr=1", application=application, repeats=2, seed_key="trainer.random_seed")
    assert found == ["trainer.random_seed=0,lr=1", "trainer.random_seed=1,lr=1"]
    with pytest.raises(ConfigError, match=r"means trainer\.random_seed=0,1; give it or trainer\.random_seed=1, not"):
        runs_of("trainer.random_seed=1", application=application, repeats=2, seed_key="trainer.random_seed")


@pytest.mark.parametrize("seed", ["seed=5", "+seed=5", "++seed=5"])
def test_repeats_beside_a_seed_are_refused_however_it_is_given(seed):
    with pytest.raises(ConfigError, match="repeats=2 means seed=0,1; give it or "):
        runs_of("a=1", seed, repeats=2)


def test_the_first_seed_of_every_setting_comes_before_any_second_one():
    assert runs_of("a=1,2", repeats=2) == ["seed=0,a=1", "seed=0,a=2", "seed=1,a=1", "seed=1,a=2"]


def test_zipped_keys_go_side_by_side():
    given = ("model=alexnet,nin", "optim.lr=0.01,0.1", "seed=0,1")
    assert runs_of("+model=a,b", "lr=1,2", zip=["model", "lr"]) == ["+model=a,lr=1", "+model=b,lr=2"]
    assert runs_of(*given, zip=["model", "optim.lr"]) == [
        "model=alexnet,optim.lr=0.01,seed=0",
        "model=alexnet,optim.lr=0.01,seed=1",
        "model=nin,optim.lr=0.1,seed=0",
        "model=nin,optim.lr=0.1,seed=1",
    ]


def test_several_sets_of_keys_can_be_zipped():
    found = runs_of("a=1,2", "b=3,4", "c=5,6", "d=7,8", zip=[["a", "b"], ["d", "c"]])
    assert found == ["a=1,b=3,d=7,c=5", "a=1,b=3,d=8,c=6", "a=2,b=4,d=7,c=5", "a=2,b=4,d=8,c=6"]


@pytest.mark.parametrize(
    "rule", [{"model": "nin", "optim.lr": 0.1}, "model=nin,optim.lr=1e-1", {"model": ["nin", "vgg11"], "optim.lr": 0.1}]
)
def test_runs_can_be_left_out(rule):
    assert runs_of("model=alexnet,nin", "optim.lr=0.01,0.1", exclude=[rule]) == [
        "model=alexnet,optim.lr=0.01",
        "model=alexnet,optim.lr=0.1",
        "model=nin,optim.lr=0.01",
    ]


def test_several_exclusions_and_repeats():
    found = runs_of("a=1,2,3", repeats=2, exclude=[{"a": 1}, {"a": 2, "seed": 1}])
    assert found == ["seed=0,a=2", "seed=0,a=3", "seed=1,a=3"]


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (["seed=3,4"], {"repeats": 2}, "^sweep.repeats=2 means seed=0,1; give it or seed=3,4, not both$"),
        (["+seed=3"], {"repeats": 9}, r"^sweep.repeats=9 means seed=0,1,2,...,8; give it or \+seed=3, not both$"),
        ([], {"repeats": 0}, "repeats=0 is invalid: from 1 to 1,000,000 seeds"),
        (["a=1,2", "b=1,2,3"], {"zip": ["a", "b"]}, r"^sweep.zip=\[a,b\] is invalid: .* a has 2, b has 3"),
        (["a=1,2"], {"zip": ["a", "b"]}, r"zip=\[a,b\] is invalid: b is not given; swept keys: a"),
        (["a=1,2"], {"zip": ["a"]}, "it takes two keys or more"),
        (["a=1,2", "b=1,2", "c=1,2"], {"zip": [["a", "b"], ["b", "c"]]}, "b is zipped twice"),
        (["a=1,2"], {"exclude": [{"a": 3}]}, "^sweep.exclude: a=3 fits no run; give values as they are swept"),
        (["a=1,2"], {"exclude": [{"a": [1, 2]}]}, "^sweep.exclude leaves none of 2 runs"),
        (["a=1,2"], {"exclude": ["a"]}, "exclude: 'a' is invalid; write {model:small"),
        (["a=1,2"], {"exclude": [3]}, "exclude: 3 is invalid"),
        (["a=range(inf)"], {}, r"a=range\(0, inf, 1\) is invalid: its numbers must be finite"),
        (["a=range(nan,-1)"], {}, "its numbers must be finite"),
        ([f"a=range(1{'0' * 400})"], {}, "its numbers must be finite"),
        (["a=shuffle(range(1e400,1e-3))"], {}, "its numbers must be finite"),
        (["a=shuffle(range(0,1e308))"], {}, "it has more than 1,000,000 values; use a larger step"),
        (["a=x,glob(y*)"], {}, r"^a=x,glob\(y\*\) is invalid: glob\(\), range\(\) and the like stand alone"),
        (["a=1,range(3)"], {}, "stand alone, not among other values"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, options, says):
    with pytest.raises(ConfigError, match=says):
        runs_of(*arguments, **options)


def test_an_interval_needs_a_search():
    with pytest.raises(HydraException, match=r"a: a grid does not support sweep type INTERVAL.*hydra/sweeper=search"):
        runs_of("a=interval(0,1)")


def test_other_applications_keep_their_keys():
    overrides = OverridesParser.create().parse_overrides(["zip=1,2", "repeats=3"])
    assert expand(overrides, OmegaConf.create({"zip": 0})) == [["zip=1", "repeats=3"], ["zip=2", "repeats=3"]]
