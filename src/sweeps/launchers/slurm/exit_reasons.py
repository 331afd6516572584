"""What a job that has ended without a word is said to have died of. Never imports torch."""

from pathlib import Path

from sweeps.errors import ConfigError
from sweeps.record.records import RunRecord, Status


def describe_end(job: str, state: str, node: str, record: RunRecord | None, log: Path) -> tuple[str, str, str]:
    """Kind, text and advice (see `Failure`) for a job that Slurm says is over, in this `state`, empty if it forgot.

    A job that left neither a log nor a word in its record never got as far as our code: as a rule its node cannot
    write where the log should be.
    """
    ended = f"job {job} ended{f' on {node}' if node else ''}{f' as {state}' if state else ''}"
    began = record is not None and record.status is not Status.PENDING
    if not began and not log.exists():
        text = f"{ended} without a trace, not even its log {log}: does the node see this folder?"
        return ConfigError.kind, text, "output=FOLDER on a file system that all nodes share"
    text = f"{ended}; its log: {log}"
    if state == "TIMEOUT":
        return "timeout", text, "a larger hydra.launcher.time=MINUTES, or hydra.launcher.notice=SECONDS"
    if state == "OUT_OF_MEMORY":
        return "oom", text, "batch"  # `record_end` knows the batch size
    return "killed", text, ""
