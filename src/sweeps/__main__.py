"""`python -m sweeps` and the console script `sweeps`: the shipped Hydra application, or a verb with its arguments."""

import importlib
import sys

VERBS = {
    "compare": "sweeps.summarize:compare_main",
    "decide": "sweeps.decide",
    "report": "sweeps.report.cli",
    "summarize": "sweeps.summarize",
    "wait": "sweeps.watch:wait_main",
    "watch": "sweeps.watch",
}


def main() -> int | None:
    """Run the verb that the first argument names, else the application; returns an exit code."""
    program = sys.argv[0] = "python -m sweeps" if sys.argv[0].endswith("__main__.py") else sys.argv[0]
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb in VERBS:
        sys.argv[:2] = [f"{program} {verb}"]
        module, _, function = VERBS[verb].partition(":")
        code: int | None = getattr(importlib.import_module(module), function or "main")()
        return code
    from sweeps.vision.app import main as application

    application()
    return None


if __name__ == "__main__":
    sys.exit(main())
