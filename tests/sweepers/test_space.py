"""The search space in Hydra's own grammar, and what cannot be one."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from sweeps.errors import ConfigError

distributions = pytest.importorskip("optuna").distributions
from sweeps.sweepers.search.space import differences, some_value, space_of, text_of, values_in  # noqa: E402

Choice, Float, Int = (getattr(distributions, f"{name}Distribution") for name in ("Categorical", "Float", "Int"))


def space(*arguments, when=None):
    return space_of(OverridesParser.create().parse_overrides(list(arguments)), when)


@pytest.mark.parametrize(
    ("value", "axis"),
    [
        ("interval(0.001, 1)", Float(low=0.001, high=1)),
        ("tag(log, interval(1e-3, 1))", Float(low=0.001, high=1, log=True)),
        ("int(interval(32, 512))", Int(low=32, high=512)),
        ("tag(log, int(interval(32, 512)))", Int(low=32, high=512, log=True)),
        ("alexnet,nin", Choice(choices=("alexnet", "nin"))),
        ("choice(0.1, 0.2, 0.2)", Choice(choices=("0.1", "0.2"))),
        ("range(1, 10, step=3)", Int(low=1, high=7, step=3)),
        ("range(0, 1, step=0.25)", Float(low=0, high=0.75, step=0.25)),
    ],
)
def test_the_grammar_of_hydra_makes_axes(value, axis):
    assert space(f"a={value}").axes == {"a": axis}


def test_what_is_not_swept_is_fixed_and_of_equal_keys_the_last_counts():
    found = space("a=1,2", "b=3", "c=1,2", "c=5", "b=interval(0,1)")
    assert found.fixed == ("c=5",)
    assert list(found.axes) == ["a", "b"]


def test_values_are_counted_where_they_can_be():
    assert space("a=range(1,10,step=3)", "b=x,y").size == 6
    assert values_in(space("a=range(0,1,step=0.25)").axes["a"]) == ["0", "0.25", "0.5", "0.75"]
    assert space("a=interval(0,1)", "b=x,y").size is None


def test_drawn_numbers_are_short_enough_for_a_folder():
    axis = space("a=interval(0,1)").axes["a"]
    assert text_of(axis, 0.012345678) == "0.01235"
    assert values_in(space("a=range(10,10.02,0.005)").axes["a"]) == ["10", "10.005", "10.01", "10.015"], (
        "as it is given"
    )
    assert text_of(space("a=int(interval(1,9))").axes["a"], 4.0) == "4"


def test_every_choice_can_be_checked_beforehand():
    found = space("model=a,b,c", "optim.lr=interval(0.1,1)", "seed=3").samples()
    assert found == [["seed=3", f"model={model}", "optim.lr=0.55"] for model in "abc"], (
        "from the middle: an end may never be drawn"
    )


WHEN = {"model": {"b": {"optim.lr": "interval(0.001,0.01)", "extra": "1,2"}, "c": {"optim.lr": "0.5"}}}


def last(axis):
    return axis.choices[-1] if isinstance(axis, Choice) else axis.high


def test_an_axis_of_one_choice_takes_the_place_of_the_general_one():
    found = space("model=a,b,c", "optim.lr=interval(0.1,1)", when=WHEN)
    top = {"a": ["optim.lr=1"], "b": ["optim.lr=0.01", "extra=2"], "c": ["optim.lr=0.5"]}
    for model, drawn in top.items():
        highest = {"model": model}
        assert found.draw(
            lambda name, axis, of=highest: of.get(name, getattr(axis, "high", None) or axis.choices[-1])
        ) == [
            f"model={model}",
            *drawn,
        ]
    names = []
    found.draw(
        lambda name, axis: names.append(name) or "b" if name == "model" else names.append(name) or some_value(axis)
    )
    assert names == ["model", "optim.lr where model=b", "extra where model=b"], "each keeps to its own bounds"
    assert found.samples() == [
        ["model=a", "optim.lr=0.55"],
        ["model=b", "optim.lr=0.0055", "extra=1"],
        ["model=c", "optim.lr=0.5"],
        ["model=b", "optim.lr=0.0055", "extra=2"],
    ]
    assert found.describe()["optim.lr where model=b"] == "float 0.001 to 0.01"
    assert space("model=a,b,c", when=WHEN).size is None


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ({"optim": {"sgd": {"x": "1,2"}}}, "optim is no list of choices in this search: optim=one,other"),
        ({"lr": {"0.1": {"x": "1,2"}}}, "lr is no list of choices"),
        ({"model": {"z": {"x": "1,2"}}}, "model is never z in this search; it is a, b"),
        ({"model": {"a": {"x": "interval(2,1)"}}}, r"x=interval\(2, 1\) is reversed"),
        ({"model": {"a": {"x": "interval(2"}}}, r"x=interval\(2 \(model=a\) cannot be read"),
        (5, "hydra.sweeper.when=5 is invalid: it has the form"),
        ({"model": {"a": ["x"]}}, "is invalid: it has the form"),
        ({"model": {"a": None}}, "is invalid: it has the form"),
        ({"model": {"a": {"sweep": "x,y"}}}, "sweep is invalid with conditions .*: it is a setting of the whole sweep"),
        ({"model": {"a": {"model": "a,b"}}}, "model has conditions of its own and cannot depend on model=a"),
    ],
)
def test_conditions_that_cannot_hold_are_invalid(when, says):
    with pytest.raises(ConfigError, match=says):
        space("model=a,b", "lr=interval(0,1)", when=when)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("interval(1, 0.1)", r"a=interval\(1, 0.1\) is reversed: the first number is the smaller one"),
        ("interval(1, 1)", "is empty"),
        ("tag(log, interval(0, 1))", r"a=interval\(0, 1\) cannot be logarithmic: it must lie above 0"),
        ("tag(log, interval(-1, 1))", "cannot be logarithmic"),
        ("tag(fast, interval(0, 1))", "unknown tag fast; known are log and int"),
        ("range(5, 1)", r"a=range\(5, 1, step=1\) is empty"),
        ("7", "has nothing to search"),
        ("interval(nan, 1)", "its ends and their distance must be finite"),
        ("interval(0, inf)", "its ends and their distance must be finite"),
        ("interval(-1e308, 1e308)", "its ends and their distance must be finite"),
        ("int(interval(0.1, 1e308))", r"whole numbers go up to 2\^53"),
        ("range(0, inf)", "its numbers must be finite"),
        ("shuffle(range(nan, -1))", "its numbers must be finite"),
    ],
)
def test_what_cannot_be_searched_is_invalid(value, says):
    with pytest.raises(ConfigError, match=says):
        space(f"a={value}")


@pytest.mark.parametrize("value", ["tag(log, interval({}, {}))", "interval({}, {})"])
@pytest.mark.parametrize("ends", [("1e200", "1e300"), ("1e-300", "1e-200"), ("1e308", "1.5e308")])
def test_the_value_that_is_checked_lies_in_its_interval(value, ends):
    low, high = map(float, ends)
    assert low < some_value(space(f"a={value.format(*ends)}").axes["a"]) < high


def test_the_difference_of_two_spaces_is_named():
    assert differences({"a": "1", "b": "2"}, {"a": "1", "c": "3"}) == "b: 2 -> absent; c: absent -> 3"
