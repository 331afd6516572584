"""What somebody types, for scripts/fuzz.py: in Hydra's grammar, or nearly."""

from fuzz_input import NASTY_TEXTS, Example
from hypothesis import strategies as st

KEYS = (
    *("model", "optim.lr", "seed", "+optim.x", "~optim", "model._target_", "optim@x", "trainer.epochs", "resize"),
    *("sweep.zip", "sweep.exclude", "sweep.repeats", "sweep.name", "sweep/pruner", "sweep.pruner._target_"),
    *("hydra.sweep.dir", "hydra.job.chdir", "a.b.c", ""),
)
NUMBERS = (
    *("0", "1", "-1", "0.1", "1e-3", "1e308", "1e400", "1e-400", "-inf", "inf", "nan"),
    *("999999999999", "0x10", "1_000"),
)
VALUES = (
    *("nin", "true", "null", "'a b'", '"x"', "a=b", "${oc.env:HOME}", "${x}", "[1,2]", "{a:1}", "???", "\\,", ""),
    *("glob(*)", "glob([a*,b*],exclude=a)", "glob(**)"),
)
FUNCTIONS = ("choice", "shuffle", "sort", "int", "float", "str", "bool", "tag", "json_str", "extend_list")


def elements() -> st.SearchStrategy[str]:
    """A value in Hydra's grammar, or nearly."""
    numbers, odd = st.sampled_from(NUMBERS), st.text(alphabet="ab0.,=()[]{}'\"$\\:@~+- ", max_size=10)
    simple = st.one_of(numbers, st.sampled_from(VALUES), st.sampled_from(NASTY_TEXTS), odd)
    ranges = st.lists(numbers, min_size=1, max_size=3).map(lambda of: f"range({','.join(of)})")
    steps = st.tuples(numbers, numbers, numbers).map(lambda of: f"range({of[0]},{of[1]},step={of[2]})")
    intervals = st.tuples(numbers, numbers).map(lambda of: f"interval({of[0]},{of[1]})")

    def wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        several = st.lists(inner, min_size=1, max_size=4).map(",".join)
        calls = st.tuples(st.sampled_from(FUNCTIONS), several).map(lambda of: f"{of[0]}({of[1]})")
        nested = (inner.map(lambda of: f"{{a:{of}}}"), several.map(lambda of: f"[{of}]"))
        return st.one_of(several, calls, inner.map(lambda of: f"tag(log,{of})"), *nested)

    return st.recursive(st.one_of(simple, ranges, steps, intervals), wrapped, max_leaves=6)


def overrides() -> Example:
    """Words of a command line."""
    one = st.tuples(st.sampled_from(KEYS), elements()).map("=".join)
    deep = st.integers(10, 500).map(lambda depth: "model=" + "[" * depth + "]" * depth)
    several = st.lists(st.one_of(*[one] * 20, deep, st.sampled_from(NASTY_TEXTS)), min_size=1, max_size=4)
    return Example(arguments=several)


def names() -> Example:
    """Texts, also those that are no valid UTF-8."""
    arguments = st.binary(max_size=8).map(lambda content: content.decode(errors="surrogateescape"))
    one = st.one_of(st.sampled_from(NASTY_TEXTS), st.text(max_size=20), arguments)
    return Example(arguments=st.lists(one, max_size=4))


def options_of_summarize() -> st.SearchStrategy[list[str]]:
    """Its command line."""
    settings = ("lenet_bn", "model=lenet_bn,optim.lr=0.1", "optim.lr=0.5", "seed=0", "=", ",", "model=", "optim.lr=nan")
    names = ("lr", "model", "seed", "optim.momentum", "value", "seconds", "x", "", "model,lr", ",", "trainer", "path")
    setting = st.one_of(st.sampled_from(settings), st.sampled_from(NASTY_TEXTS))
    key = st.one_of(st.sampled_from(names), st.sampled_from(NASTY_TEXTS))
    fixed = ([], ["--curves"], ["--all-metrics"], ["--all-metrics", "--format=csv"])
    compared = ["--compare", "lenet_bn", "optim.lr=0.5", "--format=json"]
    return st.one_of(
        st.sampled_from((*fixed, compared)),
        st.sampled_from(("table", "csv", "json", "md", "latex")).map(lambda name: [f"--format={name}"]),
        key.map(lambda one: [f"--sort={one}"]),
        key.map(lambda one: [f"--group-by={one}"]),
        key.map(lambda one: [f"--group-by={one}", "--format=csv"]),
        st.tuples(setting, setting).map(lambda of: ["--compare", *of]),
    )
