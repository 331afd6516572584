"""An old spelling is answered with the new one, and nothing else is."""

import pytest

from sweeps import ConfigError
from sweeps.vision.app import check_spelling


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sweep=study", "sweep.name=study"),
        ("output=out", "sweep.output=out"),
        ("pruner=halving", "sweep/pruner=halving"),
        ("+pruner.factor=2", "sweep.pruner.reduction_factor=2"),
        ("pruner.budget=3", "sweep.pause_at=3"),
        ("tracker.mlflow.uri=x", "sweep.tracker.mlflow.uri=x"),
        ("objective.epoch=best", "sweep.objective.report=best"),
        ("trainer.checkpoint_every=1", "sweep.checkpoint_every=1"),
        ("zip=[a,b]", "sweep.zip=[a,b]"),
    ],
)
def test_an_old_key_is_answered_with_its_new_name(old, new):
    with pytest.raises(ConfigError) as invalid:
        check_spelling(["-m", "model=nin", old])
    assert str(invalid.value) == f"{old} is now {new}"


def test_new_spellings_pass():
    check_spelling(
        ["-m", "sweep.name=a", "sweep/pruner=asha", "sweep=default", "~sweep", "trainer.epochs=2", "--cfg", "job"]
    )
