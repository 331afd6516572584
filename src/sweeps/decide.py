"""`python -m sweeps decide DIR A B`: is B better than A? The exit code is the answer. Never imports torch."""

import argparse
import math
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.errors import SweepsError
from sweeps.results import export
from sweeps.results.compare import Comparison, NoPair, compare
from sweeps.results.inference import p_of_leads
from sweeps.results.looks import level_of, note_look
from sweeps.results.ranking import rank
from sweeps.results.runs import load
from sweeps.results.settings import settings_of
from sweeps.terminal import clean

BETTER, NOT_BETTER, UNDECIDED = "better", "not better", "undecided"
EXIT_CODES = {BETTER: 0, NOT_BETTER: 1, UNDECIDED: 3}


@dataclass(frozen=True)
class Decision:
    """Whether a setting is better than another one, and what it rests on.

    `more_seeds` is how many more seeds of both would decide it in 80 % of tries, from and to (None: more than can be
    said); None where it is decided, or where nothing hints at a difference.
    """

    verdict: str  # "better", "not better" or "undecided"
    comparison: Comparison | None  # None where they share no seed
    sentence: str
    more_seeds: tuple[int, int | None] | None = None

    @property
    def exit_code(self) -> int:
        """0, 1 or 3."""
        return EXIT_CODES[self.verdict]

    def fields(self) -> dict[str, Any]:
        """The decision for other programs."""
        more = list(self.more_seeds) if self.more_seeds else None
        rests_on = self.comparison.fields() if self.comparison else {"sentence": self.sentence}
        return {"decision": self.verdict, "more_seeds": more, **rests_on}


def decide(folders: Sequence[str | Path], first: str, second: str, indifference: float | None = None) -> Decision:
    """Whether the setting that `second` names is better than the one that `first` names; counts as a look.

    It is "not better", too, if it lost seeds, or if it is shown to be better by less than `indifference`, if at all.

    Raises:
        ConfigError: a name fits no setting or several, both are one, or nothing is ranked.
        RecordError: a folder does not exist, or holds no runs.
    """
    rows = rank(load(folders))
    settings = settings_of(rows)
    try:
        found = compare(rows, second, first)
    except NoPair as error:
        return Decision(NOT_BETTER if error.first.lost else UNDECIDED, None, str(error))
    verdict = {"yes": BETTER, "no": NOT_BETTER}.get(found.verdict, UNDECIDED)
    if found.first.lost:
        verdict = NOT_BETTER
    elif verdict == UNDECIDED and indifference is not None:
        ahead = {seed: gain + indifference for seed, gain in found.second.gains.items()}
        p = p_of_leads(ahead, [found.first.gains])[0]
        verdict = NOT_BETTER if p is not None and p < level_of(settings) / 2 else verdict
    note_look(settings, final=True)
    needed = found.needed if verdict == UNDECIDED else None
    more = needed and (needed[0] - found.paired.n, needed[1] and needed[1] - found.paired.n)
    return Decision(verdict, found, found.sentence, more or None)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the decision; returns 0 (better), 1 (not better), 3 (undecided), or 2 with one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m sweeps decide",
        description="Is setting B better than setting A? Exit codes: 0 yes, 1 no, 3 undecided, 2 an error.",
    )
    parser.add_argument("folders", metavar="DIR", nargs="+", help="a sweep's folder, such as multirun/lr_study")
    parser.add_argument("first", metavar="A", help="a setting, such as the present one: nin, or model=nin,optim.lr=0.1")
    parser.add_argument("second", metavar="B", help="the one that may be better")
    small = "a difference too small to matter: B is not better if it is shown to be better by less"
    parser.add_argument("--indifference", type=_difference, metavar="DIFFERENCE", help=small)
    parser.add_argument("--json", action="store_true", help="all digits, for programs")
    args = parser.parse_args(argv)
    try:
        found = decide(args.folders, args.first, args.second, args.indifference)
    except SweepsError as error:
        print(f"decide: {clean(error)}", file=sys.stderr)
        return 2
    except Exception:  # 1, with which Python ends, is an answer
        traceback.print_exc()
        return 2
    if args.json:
        print(export.dump(found.fields()), end="")
        return found.exit_code
    print(found.sentence if found.verdict == BETTER else f"{found.verdict}: {found.sentence}")
    if found.more_seeds:
        least, most = found.more_seeds
        reach = f"{least:,} to {most:,} more seeds" if most else f"{least:,} or many more seeds"
        print(f"{reach} of both would decide it in 80 % of tries, if the difference is real.")
    return found.exit_code


def _difference(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not (math.isfinite(found) and 0 <= found < 1e100):
        raise argparse.ArgumentTypeError(f"{text} is invalid: a difference, 0 or more")
    return found


if __name__ == "__main__":
    sys.exit(main())
