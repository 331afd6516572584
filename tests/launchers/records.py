"""Records of runs that never ran, for tests of what reads them."""

from sweeps.record.records import Objective, RunRecord, Status


def record_of(name, **changes):
    """A run of the sweep `study` that has not started."""
    seed = name.partition("=")[2]
    fields = {
        "run_id": f"run-{seed}",
        "setting_id": "setting",
        "name": name,
        "sweep": "study",
        "status": Status.PENDING,
        "objective": Objective("loss", "min", "val", "last"),
        "overrides": [name],
        "max_steps": 10.0,
    }
    return RunRecord(**{**fields, **changes})
