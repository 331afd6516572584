"""What `python -m sweeps --help` prints.

Hydra's own help composes the config once per group, which takes a second; this reads the folder of the groups.
"""

from collections.abc import Iterator
from pathlib import Path

from sweeps.vision.config import conf_dir

TEXT = """\
Compare architectures and hyper-parameters: one run, or a sweep over a grid of runs.

  python -m sweeps [-m] [GROUP=OPTION ...] [KEY=VALUE ...]

Six commands that people need:
  python -m sweeps model=googlenet                             train one network
  python -m sweeps -m model=alexnet,nin optim.lr=0.01,0.1      sweep: every combination is a run
  python -m sweeps -m 'model=glob(*)' seed=0,1,2 sweep=study   all seven, three seeds, in multirun/study
  python -m sweeps experiment=smoke                            does it work here? Seconds.
  python -m sweeps.summarize multirun/study                    rank the runs of a sweep
  python -m sweeps.report multirun/study                       the same as a page with charts

Groups, GROUP=OPTION; [the one that is taken where none is named]:
{groups}

Keys, KEY=VALUE; each is explained where it stands in {conf}:
  seed  device  sweep  output  init  objective.metric  objective.epoch
  optim.lr  optim.momentum  optim.weight_decay
  trainer.epochs  trainer.batch_size  trainer.clip_norm  trainer.drop_last  trainer.evaluate_train
  resize.size  dataset.limit  dataset.test_limit  dataset.validation  dataset.root
  with -m: repeats  zip  exclude  pruner.report_every  pruner.factor  pruner.budget  hydra/sweeper=search
           plan  on_failure  stop_after  retries  timeout  on_mismatch  hydra.launcher.workers

See also:
  python -m sweeps model=alexnet --cfg job    print the composed config and run nothing
  python -m sweeps --hydra-help               Hydra's own options
"""

NOT_FOR_PEOPLE = ("hydra", "recipe", "budget")  # chosen by other choices


def help_text() -> str:
    """The page, with the groups and options that stand in `conf/` now."""
    folder = conf_dir()
    return TEXT.format(groups="\n".join(_groups(folder)), conf=folder)


def _groups(folder: Path) -> Iterator[str]:
    defaults = (folder / "config.yaml").read_text(encoding="utf-8")
    for group in sorted(
        path for path in folder.iterdir() if path.is_dir() and path.name not in ("hydra", "recipe", "budget")
    ):
        options = []
        for path in sorted(group.rglob("*.yaml")):
            option = path.relative_to(group).with_suffix("").as_posix()
            options.append(f"[{option}]" if f"- {group.name}: {option}" in defaults else option)
        yield f"  {group.name:<11} {' '.join(options)}"
