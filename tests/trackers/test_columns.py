"""What tells runs apart in a tracker's table."""

from sweeps.trackers.columns import columns_of, numbers_of

from .conftest import new_record

CONFIG = {
    "model": {"depth": 3, "widths": [8, 16], "name": "mlp"},
    "optim": {"lr": 0.01, "nesterov": True},
    "seed": 3,
    "sweep": {"name": "study"},
}


def test_overrides_are_columns_with_the_types_of_the_settings():
    record = new_record("optim.lr=1e-2", "+model.depth=3", "optim.nesterov=true", "model.widths=[8,16]", config=CONFIG)
    assert columns_of(record) == {
        "optim.lr": 0.01, "model.depth": 3, "optim.nesterov": True, "model.widths": "[8, 16]", "seed": 0,
    }  # fmt: skip


def test_a_choice_of_a_group_is_a_text():
    assert columns_of(new_record("model=resnet18", "model@teacher=vgg", config=CONFIG)) == {
        "model": "resnet18", "model@teacher": "vgg", "seed": 0,
    }  # fmt: skip


def test_what_changes_no_result_has_no_column():
    overrides = ("sweep.name=other", "sweep/pruner=asha", "hydra.job.chdir=true", "~optim.lr", "+sweep=default")
    assert columns_of(new_record(*overrides, config=CONFIG)) == {"seed": 0}


def test_facts_are_columns_but_never_hide_an_override():
    facts = {
        "parameters": 61706,
        "data": "a\nb",
        "optim.lr": 5,
        "bad": float("nan"),
        "tree": {"a": 1},
        "long": "x" * 999,
    }
    columns = columns_of(new_record("optim.lr=0.01", facts=facts, config=CONFIG))
    assert columns == {"optim.lr": 0.01, "seed": 0, "parameters": 61706, "data": "a b", "long": "x" * 200}


def test_points_between_whole_steps_have_a_curve_of_their_own():
    row = {"step": 0.25, "elapsed": 3.0, "loss": 0.5, "note": "text", "nothing": None}
    assert list(numbers_of(row)) == [("between_steps/loss", 0.5, 250)]
    assert list(numbers_of({**row, "step": 2.0})) == [("loss", 0.5, 2)]
