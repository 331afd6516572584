"""What `python -m sweeps --help` prints.

Hydra's own help composes the config once per group, which takes a second; this reads the folder of the groups.
"""

from collections.abc import Iterator
from pathlib import Path

from sweeps.config import PRUNERS, TRACKERS
from sweeps.vision.config import conf_dir

TEXT = """\
Compare architectures and hyper-parameters: one run, or a sweep over a grid of runs.

  python -m sweeps [-m] [GROUP=OPTION ...] [KEY=VALUE ...]

Seven commands that people need:
  python -m sweeps model=googlenet                             train one network
  python -m sweeps -m model=alexnet,nin optim.lr=0.01,0.1      sweep: every combination is a run
  python -m sweeps -m 'model=glob(*)' sweep.repeats=3 sweep.name=all   all seven, three seeds, in multirun/all
  python -m sweeps -m 'model=glob(*)' sweep.plan=true          what would that cost? Runs nothing.
  python -m sweeps experiment=smoke                            does it work here? Seconds.
  python -m sweeps summarize multirun/all                      rank the settings of a sweep
  python -m sweeps report multirun/all                         the same as a page with charts

Groups, GROUP=OPTION; [the one that is taken where none is named]:
{groups}

Keys, KEY=VALUE; each is explained where it is set in {conf}:
  seed  device  init  optim.lr  optim.momentum  optim.weight_decay
  trainer.epochs  trainer.batch_size  trainer.clip_norm  trainer.drop_last  trainer.evaluate_train
  resize.size  dataset.limit  dataset.test_limit  dataset.validation  dataset.root
and of the sweep:
  sweep.name  sweep.output  sweep.objective.metric  sweep.objective.report  sweep.checkpoint_every  sweep.on_mismatch
  with -m: sweep.repeats  sweep.zip  sweep.exclude  sweep.plan  sweep.pause_at  sweep.pruner.min_resource
           sweep.on_failure  sweep.stop_after  sweep.retries  sweep.timeout
           hydra/sweeper=search  hydra/launcher=slurm  hydra.launcher.workers

See also:
  python -m sweeps model=alexnet --cfg job    print the composed config and run nothing
  python -m sweeps --hydra-help               Hydra's own options
"""

# Chosen by other choices; those of the engine are not all files.
_NO_CHOICE = ("hydra", "recipe", "budget", "sweep")
_OF_THE_ENGINE = {"sweep/pruner": (sorted(PRUNERS), "none"), "sweep/tracker": (sorted(TRACKERS), "tensorboard")}


def help_text() -> str:
    """The page, with the groups and options that stand in `conf/` now."""
    folder = conf_dir()
    return TEXT.format(groups="\n".join(_groups(folder)), conf=folder)


def _groups(folder: Path) -> Iterator[str]:
    defaults = (folder / "config.yaml").read_text(encoding="utf-8")
    groups = {}
    for group in sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in _NO_CHOICE):
        names = sorted(path.relative_to(group).with_suffix("").as_posix() for path in group.rglob("*.yaml"))
        groups[group.name] = names, next((name for name in names if f"- {group.name}: {name}" in defaults), None)
    for group, (names, default) in (groups | _OF_THE_ENGINE).items():
        yield f"  {group:<14} {' '.join(f'[{name}]' if name == default else name for name in names)}"
