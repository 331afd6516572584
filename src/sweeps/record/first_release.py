"""Records of release 0.1, which knew image classifiers alone, as records of today. Never imports torch."""

from typing import Any

from sweeps.record.identity import setting_id

# What it left out of an identity.
IGNORED_BEFORE = (
    *("sweep", "output", "device", "tracker", "plan", "repeats", "zip", "exclude", "pruner", "on_failure"),
    *("stop_after", "retries", "timeout", "on_mismatch", "dataset.root", "dataset.source.folders"),
    *("dataset.source.remedies", "dataset.source.torchvision", "trainer.capture", "trainer.threads"),
    *("trainer.checkpoint_every", "trainer.save_weights", "trainer.save_predictions", "objective"),
)


def upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """The content of such a record in the fields of schema version 2."""
    config = data["config"]
    facts = {
        key: data[key] for key in ("parameters", "forward_macs", "data_order", "examples_per_second") if data.get(key)
    }
    objective = data["objective"]
    return {
        **data,
        "setting_id": setting_id(config, IGNORED_BEFORE, ("seed",)),
        "seed": config.get("seed"),
        "seed_keys": ["seed"],
        "objective": {**objective, "report": objective["epoch"]},
        "ignore": list(IGNORED_BEFORE),
        "facts": facts,
        "steps": (data.get("stopped_at") or data["epochs"]) or None,
        "max_steps": config["trainer"]["epochs"],
        "metrics": {name: {"step": row["epoch"], **row} for name, row in data["metrics"].items()},
        "schema_version": 2,
    }
