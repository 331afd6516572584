"""What several networks share: a stem, the size of a map, and checks of arguments, plain data from YAML."""

from collections.abc import Sequence

from torch import nn

from sweeps import ConfigError


class Stem(nn.Sequential):
    """The beginning of ResNet and DenseNet: [B, in_channels, H, W] -> [B, channels, H/4, W/4], rounded up."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, channels, 7, stride=2, padding=3),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )


def spatial_size(features: nn.Sequential, image_size: int) -> int:
    """Return the height (and width) of the map that a straight pipe makes of a square image.

    An image that would be pooled away gives 1: the network can be built all the same, and `inspect_network` finds
    the layer that cannot run and says which image size would do.
    """
    size = image_size
    for layer in features.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            kernel, stride, padding = map(_side, (layer.kernel_size, layer.stride, layer.padding))
            size = max((size + 2 * padding - kernel) // stride + 1, 1)
    return size


def _side(argument: int | tuple[int, ...] | str) -> int:
    assert not isinstance(argument, str), "named padding has no number; our networks do not use it"
    return argument if isinstance(argument, int) else argument[0]


def whole_number(key: str, value: object, *, least: int = 1, meaning: str = "") -> int:
    """Return `value` if it is a whole number of at least `least`; `key` and `meaning` name it in the error."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        note = f" ({meaning})" if meaning else ""
        raise ConfigError(f"{key}={value!r}{note} must be a whole number >= {least}, such as {key}={least}")
    return value


def whole_numbers(key: str, values: object) -> tuple[int, ...]:
    """Return a non-empty list of whole numbers >= 1."""
    return tuple(whole_number(f"{key}[{index}]", value) for index, value in enumerate(_listed(key, values, "numbers")))


def table(key: str, rows: object, **least: int) -> tuple[tuple[int, ...], ...]:
    """Return a non-empty table of whole numbers; `least` gives each column's name and smallest value."""
    checked = []
    columns = ", ".join(least)
    for number, row in enumerate(_listed(key, rows, f"rows [{columns}]")):
        cells = _listed(f"{key}[{number}]", row, f"the numbers {columns}")
        if len(cells) != len(least):
            raise ConfigError(f"{key}[{number}]={list(cells)} has {len(cells)} numbers; a row is [{columns}]")
        checked.append(
            tuple(
                whole_number(f"{key}[{number}][{index}]", cells[index], least=smallest, meaning=column)
                for index, (column, smallest) in enumerate(least.items())
            )
        )
    return tuple(checked)


def stages(key: str, groups: object, **least: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Return a non-empty list of tables, all with the same columns."""
    listed = _listed(key, groups, "stages, each a list of rows")
    return tuple(table(f"{key}[{index}]", rows, **least) for index, rows in enumerate(listed))


def dropout_rate(value: object) -> float:
    """Return the share of activations that dropout sets to zero, in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ConfigError(
            f"model.dropout={value!r} must be a rate in [0, 1): the share of activations set to zero; "
            "use model.dropout=0 to switch dropout off"
        )
    return float(value)


def _listed(key: str, values: object, of_what: str) -> Sequence[object]:
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ConfigError(f"{key}={values!r} must be a list of {of_what}, and not an empty one")
    return values
