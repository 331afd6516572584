"""What scripts/fuzz.py makes: a folder and the words of a command line, valid but for a few places; and for whom."""

import base64
import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

# Of a file: its bytes; or {"link": TARGET}, {"pipe": true}, {"folder": true}, {"repeat": [TEXT, TIMES, END]}.
Content = bytes | dict[str, Any]

# What hypothesis does not come upon by itself, by what it is meant to break.
NASTY_TEXTS = (
    *("", " ", "0", "-1", "nan", "inf", "1e999", "null", "a" * 5000),  # numbers
    *("\0", "\n", "\ud800", "\u202eabc", "\N{PILE OF POO}"),  # encodings
    *("\x1b]0;title\x07\x1b[2J", "\x9b31m", "[bold red]x[/]", "[/", "%n%s"),  # a terminal
    *("=HYPERLINK(1)", "-2+3+cmd|x", "@SUM(1)", "\t=1", "<script>"),  # a spreadsheet, a page
    *("../../outside", "/etc/passwd"),  # paths
    *("${oc.env:HOME}", "${oc.create:{_target_: os.getcwd}}", "a=b", "model=nin,optim.lr=0.1"),  # Hydra
    *("sweeps.vision.models.nin", "os.system", "test_acc", "completed", "running", "diverged"),  # names in a record
)
NASTY_NUMBERS = (
    *(0, -1, 1, 2, 7, 255, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**400),
    *(0.5, -0.0, 1e-320, 1e308, -1e308, float("nan"), float("inf"), -float("inf")),
)
NASTY_VALUES = (
    *(None, True, False, [], {}, [[]], [{}], [1], [None], ["a"], {"a": 1}, {"": {}}, {"_target_": "os.getcwd"}),
    *([0] * 3000, [["a", 1]] * 100, {str(number): number for number in range(300)}),
)


def _copied(value: Any) -> Any:
    return json.loads(json.dumps(value))  # `deepcopy` takes three frames a level, and how many are left is chance


def _nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@dataclass
class Input:
    """Files by their paths in the folder, and words."""

    files: dict[str, Content] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Lay the files out."""
        for name, content in self.files.items():
            path = folder / name
            if any(str(parent) in self.files for parent in Path(name).parents):
                continue  # something else is in its way
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            elif "link" in content:
                path.symlink_to(content["link"])
            elif "repeat" in content:
                part, count, end = content["repeat"]
                path.write_text(part * count + end)
            elif "pipe" in content:
                os.mkfifo(path)
            else:
                path.mkdir(exist_ok=True)

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {"files": {name: _coded(content) for name, content in self.files.items()}, "arguments": self.arguments}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Input":
        """What `as_json` has made."""
        return cls({name: _decoded(content) for name, content in data["files"].items()}, list(data["arguments"]))


def _coded(content: Content) -> Any:
    if isinstance(content, dict):
        return content
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _decoded(content: Any) -> Content:
    if isinstance(content, str):
        return content.encode()
    return base64.b64decode(content["base64"]) if "base64" in content else dict(content)


@dataclass
class Example:
    """A valid input, the files of it that may be changed (all, if it does not say), and a way to make words."""

    files: dict[str, Content] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    arguments: st.SearchStrategy[list[str]] = field(default_factory=lambda: st.just([]))

    def __post_init__(self) -> None:
        self.changed = self.changed or tuple(self.files)


Call = Callable[[Path, Sequence[str]], object]


@dataclass(frozen=True)
class Target:
    """`call(folder, arguments)` on inputs near to `example()`; errors in `allowed` are answers as well."""

    example: Callable[[], Example]
    call: Call
    allowed: tuple[type[BaseException], ...] = ()


TARGETS: dict[str, Target] = {}


def target(name: str, example: Callable[[], Example], *allowed: type[BaseException]) -> Callable[[Call], Call]:
    """Make a target of a function."""

    def add(call: Call) -> Call:
        TARGETS[name] = Target(example, call, allowed)
        return call

    return add


def warm_up(name: str) -> None:
    """Import what the target needs and see that it takes a valid input, so that no import counts as a slow answer."""
    example = TARGETS[name].example()
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        Input(dict(example.files)).write(Path(place))
        with contextlib.suppress(Exception):
            TARGETS[name].call(Path(place), [])


@st.composite
def inputs_of(draw: Callable[[Any], Any], example: Example) -> Input:
    """Inputs near to `example`."""
    files = dict(example.files)
    for _ in range(draw(st.integers(1, 2)) if example.changed else 0):
        name = draw(st.sampled_from(example.changed))
        content = files.get(name, b"")
        if isinstance(content, bytes):
            files[name] = draw(_changed(name, content))
    return Input(files, draw(example.arguments))


def _changed(name: str, content: bytes) -> st.SearchStrategy[Content]:
    ways: list[st.SearchStrategy[Content]] = [_other_bytes(content), _other_kind(content)]
    if name.endswith((".json", ".jsonl", ".journal")) or ".lock" in name:
        ways = [_other_json(content)] * 6 + ways
    if name.endswith(".safetensors"):
        ways = [_other_header(content)] * 3 + ways
    return st.one_of(ways)


@st.composite
def _other_kind(draw: Callable[[Any], Any], content: bytes) -> Content:
    """No ordinary file at all, or a very large one."""
    links = ("../../outside/file", "../outside/file", "../../outside", "../outside", "nowhere", "run.json")
    kinds: list[Content] = [{"link": place} for place in (*links, "/dev/zero", "/dev/null")]
    kinds += [{"pipe": True}, {"folder": True}, b"", b"\0" * 4096, content * 3]
    deep = (("[", 100_000), ('{"a":', 5000), ("1", 50_000))
    long = (("[1],", 17_000_000), ("[]\n", 1_000_000), ("{}\n", 5_000_000), ('{"step":1}\n', 1_000_000))
    kinds += [{"repeat": [text, times, ""]} for text, times in (*deep, *long)]
    return draw(st.sampled_from(kinds))


@st.composite
def _other_bytes(draw: Callable[[Any], Any], content: bytes) -> Content:
    """Cut, flipped, doubled, or with something put in."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(changed)))
        way = draw(st.integers(0, 3))
        if way == 0:
            del changed[at:]
        elif way == 1 and at < len(changed):
            changed[at] = draw(st.integers(0, 255))
        elif way == 2:
            changed[at:at] = draw(st.binary(max_size=8))
        else:
            changed[at:at] = changed[at : at + draw(st.integers(1, 200))]
    return bytes(changed)


@st.composite
def _other_json(draw: Callable[[Any], Any], content: bytes) -> Content:
    """One or a few values of a JSON file, or of some of its lines, replaced."""
    text = content.decode(errors="replace")
    try:
        value = json.loads(text)
        return _dumped(draw(_other_value(value)))
    except ValueError:
        pass
    lines = text.splitlines()
    if not lines:
        return _dumped(draw(values()))
    at = draw(st.integers(0, len(lines) - 1))
    try:
        lines[at] = _dumped(draw(_other_value(json.loads(lines[at])))).decode(errors="surrogatepass")
    except ValueError:
        lines[at] = _dumped(draw(values())).decode()
    return "\n".join(lines).encode(errors="surrogatepass") + b"\n" * draw(st.integers(0, 1))


@st.composite
def _other_value(draw: Callable[[Any], Any], value: Any) -> Any:
    value = _copied(value)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(value))
        if not places:
            return draw(values())
        node, key = draw(st.sampled_from(places))
        way = draw(st.integers(0, 9))
        if way == 0:
            del node[key]
        elif way == 1 and isinstance(node, dict):
            node[draw(st.sampled_from(NASTY_TEXTS))] = node[key]
        elif way == 2:
            node[key] = _copied(draw(st.sampled_from(places))[0])
        else:
            node[key] = draw(values())
    return value


def _places(node: Any) -> Any:
    if isinstance(node, (dict, list)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield node, key
            yield from _places(value)


def values() -> st.SearchStrategy[Any]:
    """A value that nobody expects there."""
    return st.one_of(
        st.sampled_from(NASTY_VALUES).map(_copied),
        st.sampled_from(NASTY_NUMBERS),
        st.sampled_from(NASTY_TEXTS),
        st.text(max_size=8),
        st.integers(-3, 70),
        st.floats(allow_subnormal=False),  # torch switches them off
        st.sampled_from([10, 40, 62, 70, 120]).map(_nested),
    )


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


@st.composite
def _other_header(draw: Callable[[Any], Any], content: bytes) -> Content:
    """The JSON header of a safetensors file changed, its length set right."""
    size = int.from_bytes(content[:8], "little")
    try:
        header = _dumped(draw(_other_value(json.loads(content[8 : 8 + size]))))
    except ValueError:  # something else was changed already
        return draw(_other_bytes(content))
    return len(header).to_bytes(8, "little") + header + content[8 + size :]
