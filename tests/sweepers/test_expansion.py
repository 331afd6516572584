"""Which cells a command line means: crosswise, side by side, without some, over seeds."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from sweeps import results as analysis
from sweeps.errors import ConfigError
from sweeps.record.records import Status, find_runs
from sweeps.sweepers.expansion import expand
from sweeps.vision.config import SweepsConfig

from .conftest import SMALL, runs_by


def cells_of(*arguments, **options):
    config = OmegaConf.merge(OmegaConf.structured(SweepsConfig), options)
    return [",".join(cell) for cell in expand(OverridesParser.create().parse_overrides(list(arguments)), config)]


def test_values_combine_crosswise():
    assert cells_of("a=1,2", "b=x,y", "c=5") == ["a=1,b=x,c=5", "a=1,b=y,c=5", "a=2,b=x,c=5", "a=2,b=y,c=5"]
    assert cells_of("a=1", "a=2") == ["a=2"], "of equal keys the last one counts"
    assert cells_of() == [""]


def test_repeats_are_seeds_and_no_cell_knows_the_word():
    assert cells_of("a=1", "repeats=3", repeats=3) == ["seed=0,a=1", "seed=1,a=1", "seed=2,a=1"]


@pytest.mark.parametrize("swept", ["repeats=2,3", "pruner=asha,median", "pruner.budget=1,2", "retries=0,1"])
def test_what_is_of_the_whole_sweep_has_one_value(swept):
    with pytest.raises(ConfigError, match="is refused with several values"):
        cells_of("a=1,2", swept)


@pytest.mark.parametrize("seed", ["seed=5", "+seed=5", "++seed=5"])
def test_repeats_beside_a_seed_are_refused_however_it_is_given(seed):
    with pytest.raises(ConfigError, match="repeats=2 is refused beside seed="):
        cells_of("a=1", seed, repeats=2)


def test_the_first_seed_of_every_cell_comes_before_any_second_one():
    assert cells_of("a=1,2", repeats=2) == ["seed=0,a=1", "seed=0,a=2", "seed=1,a=1", "seed=1,a=2"]


def test_zipped_keys_go_side_by_side():
    given = ("model=alexnet,nin", "optim.lr=0.01,0.1", "seed=0,1")
    assert cells_of(*given, zip=["model", "optim.lr"]) == [
        "model=alexnet,optim.lr=0.01,seed=0",
        "model=alexnet,optim.lr=0.01,seed=1",
        "model=nin,optim.lr=0.1,seed=0",
        "model=nin,optim.lr=0.1,seed=1",
    ]


def test_several_sets_of_keys_can_be_zipped():
    found = cells_of("a=1,2", "b=3,4", "c=5,6", "d=7,8", zip=[["a", "b"], ["d", "c"]])
    assert found == ["a=1,b=3,d=7,c=5", "a=1,b=3,d=8,c=6", "a=2,b=4,d=7,c=5", "a=2,b=4,d=8,c=6"]


@pytest.mark.parametrize(
    "rule", [{"model": "nin", "optim.lr": 0.1}, "model=nin,optim.lr=1e-1", {"model": ["nin", "vgg11"], "optim.lr": 0.1}]
)
def test_cells_can_be_left_out(rule):
    assert cells_of("model=alexnet,nin", "optim.lr=0.01,0.1", exclude=[rule]) == [
        "model=alexnet,optim.lr=0.01",
        "model=alexnet,optim.lr=0.1",
        "model=nin,optim.lr=0.01",
    ]


def test_several_exclusions_and_repeats():
    found = cells_of("a=1,2,3", repeats=2, exclude=[{"a": 1}, {"a": 2, "seed": 1}])
    assert found == ["seed=0,a=2", "seed=0,a=3", "seed=1,a=3"]


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (["seed=0,1"], {"repeats": 2}, "repeats=2 is refused beside seed=: .* give one of the two"),
        ([], {"repeats": 0}, "repeats=0 is refused: at least one seed"),
        (["a=1,2", "b=1,2,3"], {"zip": ["a", "b"]}, r"zip=\[a,b\] is refused: .* a has 2, b has 3"),
        (["a=1,2"], {"zip": ["a", "b"]}, r"zip=\[a,b\] is refused: b is not given; swept are: a"),
        (["a=1,2"], {"zip": ["a"]}, "takes two keys or more"),
        (["a=1,2", "b=1,2", "c=1,2"], {"zip": [["a", "b"], ["b", "c"]]}, "b is zipped twice"),
        (["a=1,2"], {"exclude": [{"a": 3}]}, "exclude: a=3 fits no cell; name values as they are swept, such as a=1"),
        (["a=1,2"], {"exclude": [{"a": [1, 2]}]}, "exclude leaves nothing of 2 cells"),
        (["a=1,2"], {"exclude": ["a"]}, "exclude: 'a' is no cell; write {model:nin"),
        (["a=1,2"], {"exclude": [3]}, "exclude: 3 is no cell"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, options, says):
    with pytest.raises(ConfigError, match=says):
        cells_of(*arguments, **options)


def test_an_interval_needs_a_search():
    with pytest.raises(HydraException, match=r"a: a grid does not support sweep type INTERVAL.*hydra/sweeper=search"):
        cells_of("a=interval(0,1)")


def test_other_applications_keep_their_keys():
    overrides = OverridesParser.create().parse_overrides(["zip=1,2", "repeats=3"])
    assert expand(overrides, OmegaConf.create({"zip": 0})) == [["zip=1", "repeats=3"], ["zip=2", "repeats=3"]]


TINY = (*SMALL, "dataset.limit=50", "trainer.epochs=1", "hydra.launcher.workers=0", "sweep=study")


def test_a_sweep_of_pairs_over_seeds_can_be_extended_and_is_summarised(sweeps, tmp_path):
    study = tmp_path / "multirun" / "study"
    pairs = ("-m", "optim.lr=0.1,1", "optim.momentum=0.9,0", "zip=[optim.lr,optim.momentum]", *TINY)
    done = sweeps(*pairs, "repeats=2")
    assert done.code == 0, done.text
    assert "2 cells over their seeds" in done.text
    names = sorted(run.path.name for run in find_runs(study))
    assert len(names) == 4
    assert all("repeats" not in name and "zip" not in name for name in names)

    done = sweeps(*pairs, "repeats=3", "exclude=[{optim.lr:1,seed:2}]")
    assert "5 cells, 4 finished before and skipped, 1 to do" in done.text
    runs = list(find_runs(study))
    assert {run.read().status for run in runs} == {Status.COMPLETED}
    assert "repeats" not in [column.key for column in analysis.columns.columns_of(analysis.load([study]))]
    assert all(run.predictions.stat().st_size < 1000 for run in runs), "two bytes for each of 50 images"


def test_the_final_predictions_are_those_that_were_measured(sweeps, tmp_path):
    from sweeps.results.predictions import right_answers

    assert sweeps("-m", "seed=0", "trainer.bn_reestimate=2", "dataset.validation=0.2", *TINY).code == 0
    run = runs_by(tmp_path / "multirun" / "study", "seed")[0]
    last = run.read().metrics["last"]
    for split in ("test", "test_bn", "val", "val_bn"):
        right, _ = right_answers(run.path, split)
        assert right.mean() == pytest.approx(last[f"{split}_acc"])


def test_repeats_of_a_single_run_are_refused(sweeps, tmp_path):
    done = sweeps("repeats=3", *TINY)
    assert done.code == 1
    assert "repeats=3 repeats the cells of a sweep and needs -m" in done.text
    assert list(find_runs(tmp_path)) == []
