"""Whatever a function of the application does or returns, it is answered in a sentence that names hook and setting."""

import sys

import numpy as np
import pytest
import torch

from sweeps.errors import ConfigError, DataError
from sweeps.hooks import advise_hook, check_hook, cost_hook

CHECK, COST = "sweep.hooks.check", "sweep.hooks.cost"


@pytest.fixture
def hook(monkeypatch):
    """Call a hook that does and returns what a test says: `hook(check_hook, key, action)`."""

    def call(kind, key, action):
        def mine(cfg):
            return action(cfg)

        monkeypatch.setattr(sys.modules[__name__], "mine", mine, raising=False)
        return kind("mine", key, __name__, {})

    return call


def test_facts_of_numpy_and_torch_are_numbers(hook):
    given = {"a": np.float32(0.5), "b": np.int64(3), "c": torch.tensor(2.0), "d": "text", "e": True, "f": None}
    facts = hook(check_hook, CHECK, lambda _: given)
    assert facts == {"a": 0.5, "b": 3, "c": 2.0, "d": "text", "e": True, "f": None}
    assert [type(value) for value in facts.values()] == [float, int, float, str, bool, type(None)]
    assert hook(check_hook, CHECK, lambda _: None) == {}
    assert hook(cost_hook, COST, lambda _: {"seconds_per_step": np.float32(1.5)}) == {"seconds_per_step": 1.5}


@pytest.mark.parametrize("key", [CHECK, COST])
@pytest.mark.parametrize(
    ("action", "says"),
    [
        (lambda cfg: cfg["x"], r"failed: KeyError: 'x' \(test_hooks.py:\d+\)"),
        (lambda _: sys.exit(0), r"failed: SystemExit: 0 \(test_hooks.py:\d+\)"),
        (lambda _: {"a": 1}["b"], "failed: KeyError: 'b'"),
        (lambda _: 3, "returned 3: it returns"),
        (lambda _: [1], r"returned \[1\]: it returns"),
    ],
)
def test_a_hook_that_fails_is_a_sentence(hook, key, action, says):
    with pytest.raises(ConfigError, match=f"^{key}=mine {says}"):
        hook(check_hook if key == CHECK else cost_hook, key, action)


def test_advice_is_sentences_about_the_keys_of_a_sweep(monkeypatch):
    def advise(action):
        monkeypatch.setattr(sys.modules[__name__], "mine", lambda cfg, swept: action(swept), raising=False)
        return advise_hook("mine", "sweep.hooks.advise", __name__, {}, ["lr"])

    assert advise(lambda swept: (f"{swept[0]} is swept",)) == ["lr is swept"]
    assert advise(lambda _: None) == []
    for wrong in ("text", [1], {"a": 1}):
        with pytest.raises(ConfigError, match=r"^sweep.hooks.advise=mine returned .*: it returns a list of sentences"):
            advise(lambda _, answer=wrong: answer)


def test_what_a_hook_says_itself_stays(hook):
    def refuse(_):
        raise DataError("no images")

    with pytest.raises(DataError, match="no images"):
        hook(check_hook, CHECK, refuse)


@pytest.mark.parametrize("facts", [{"a": object()}, {"a": np.zeros(2)}, {"a": [1]}, {1: 1}])
def test_a_fact_is_a_number_or_a_text(hook, facts):
    with pytest.raises(ConfigError, match=r"sweep.hooks.check=mine returned .*: a fact is a number or a text"):
        hook(check_hook, CHECK, lambda _: facts)


@pytest.mark.parametrize(
    "costs", [{"seconds_per_step": "x"}, {"seconds_per_step": float("nan")}, {"memory": -1}, {"disk": float("inf")}]
)
def test_a_cost_is_a_number(hook, costs):
    with pytest.raises(ConfigError, match=r"sweep.hooks.cost=mine returned .*: it is a number, 0 or more"):
        hook(cost_hook, COST, lambda _: costs)
    with pytest.raises(ConfigError, match="some of seconds_per_step, memory, disk"):
        hook(cost_hook, COST, lambda _: {"time": 1})
