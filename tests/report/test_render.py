"""A text of a chart takes the room that the chart was laid out for, whatever font a machine has."""

import re

import pytest
import vl_convert

from sweeps.report.render import _CONFIG, text_width, with_fixed_widths

LABELS = ["0.0123456789", "googlenet", "resnet18, optim=SGD", "<b> & [x]", "1e\N{MINUS SIGN}5\N{HORIZONTAL ELLIPSIS}"]


def room(label, weight):
    """How far the title of an axis is from it, which the width of its label decides."""
    axis = {"title": "t", "labelLimit": 0, "labelFontWeight": weight}
    y = {"field": "label", "type": "nominal", "axis": axis}
    spec = {"data": {"values": [{"label": label}]}, "mark": "point", "encoding": {"y": y}, "config": _CONFIG}
    return -float(re.search(r"translate\((-[\d.]+),[\d.]+\) rotate\(-90\)", vl_convert.vegalite_to_svg(spec))[1])


@pytest.mark.parametrize("weight", ["normal", "bold"])
@pytest.mark.parametrize("label", LABELS)
def test_the_width_is_the_one_that_charts_are_laid_out_for(label, weight):
    bold = weight == "bold"
    longer = text_width(label, 10, bold=bold) - text_width("0", 10, bold=bold)
    assert room(label, weight) - room("0", weight) == pytest.approx(longer, abs=0.6)


def test_every_text_says_how_wide_it_is():
    svg = '<text x="1" font-size="10px" fill="#000">a &amp; b</text><text font-size="11px" font-weight="bold">m</text>'
    widths = re.findall(r'textLength="([\d.]+)" lengthAdjust="spacingAndGlyphs">([^<]+)<', with_fixed_widths(svg))
    assert widths == [("23.35", "a &amp; b"), ("9.78", "m")]


def test_a_text_of_unknown_width_is_left_as_it_is():
    svg = '<text font-size="10px">\N{CJK UNIFIED IDEOGRAPH-4E2D}</text><text font-size="10px"></text>'
    assert with_fixed_widths(svg) == svg
