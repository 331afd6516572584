"""What a file that others may read shows of a config and a command: no secret, and nothing of the environment.

A text that came from `${oc.env:NAME}` is shown as it was written. What a name says is a secret is shown as `***`.
Never imports torch.
"""

import enum
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import yaml
from omegaconf import OmegaConf, SCMode

MASK = "***"
_TELLING = 4  # characters; what is shorter stands in any text

_NAME = (
    r"(?:[\w.-]*(?:secret|passw(?:or)?d|passphrase|credential|(?:api|access|private)[_-]?key)[\w.-]*"
    r"|(?:[\w.-]*[_.-])?(?:token|pwd|auth(?:orization)?(?:[_-]?headers?)?)|[\w.-]*(?-i:[a-z0-9]Token))"
)
_IS_SECRET = re.compile(_NAME, re.IGNORECASE)
# Secrets, unless they are a number: how many tokens a model is trained on.
_PLURAL = r"(?:[\w.-]*\.)?(?:(?:auth|api|access|refresh|bearer)[_-]?)?tokens"
_MAY_BE_SECRET = re.compile(_PLURAL, re.IGNORECASE)
_NUMBERS = re.compile(r"[\d\s.,_eE+\[\]-]*|null|\$\{[^${}]*\}")
# `name=value`, `name: value` and `--name value`; a value in quotes, the rest of a line that begins with the name, or a
# word. `${...}` shows nothing and stays.
_VALUE = r"""(?!\$\{|\*\*\*)(?:"[^"\n]*"|'[^'\n]*'|(?:Bearer|Basic)[ ]+\S+|[^\s"',;)}\]]+)"""
_PAIRS = re.compile(
    rf"""(?P<head>^[-+ ]?[ ]*{_NAME}:[ ]+)(?!["'$*])[^\n]+
      | (?P<assigned>(?<![\w.-]){_NAME}["']?[ \t]*[=:][ \t]*){_VALUE}
      | (?P<option>(?<!\S)--?{_NAME}[ ]+){_VALUE}
      | (?P<several>(?<![\w.-]){_PLURAL}["']?[ \t]*[=:][ \t]*)
          (?![\d.])(?:[\[{{](?![\d\s.,_]*\])[^\]}}\n]*[\]}}]?|(?![\[{{]){_VALUE})
      | (?P<scheme>\b(?-i:[Bb]earer)[ ]+)(?!\*\*\*)[^\s"',;]+
      | (?P<basic>\b(?-i:Basic)[ ]+)(?=[A-Za-z+/]*[\d=])[\w+/=]{{6,}}
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_OF_A_URL = re.compile(r"""(?<=://)[^/\s"'@:]*(?::[^\s"']*)?(?=@)""")
_REFERENCE = re.compile(r"\$\{oc\.env:[^${}]*\}")  # shows nothing, as long as nothing else stands beside it
_OF_ENVIRONMENT = re.compile(r"oc\.env:\s*(\w+)")


class FromEnvironment(str):
    """A text that came from the environment, and how it is to be `shown`."""

    shown: str

    def __new__(cls, value: str, shown: str) -> "FromEnvironment":
        made = super().__new__(cls, value)
        made.shown = shown
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return FromEnvironment, (str(self), self.shown)


def is_secret(name: object) -> bool:
    """Whether a name says that its value is for nobody else."""
    return _IS_SECRET.fullmatch(str(name)) is not None


def marked(config: Any, raw: Any, environment: Mapping[str, str], has_effect: Callable[[str], bool]) -> Any:
    """`config`, resolved, where every text that came from the environment knows how it was written in `raw`.

    Where a text tells settings apart, a hash of it stands behind: equal texts look alike, and others do not.
    """
    values = {environment[name]: name for name in _OF_ENVIRONMENT.findall(str(raw)) if environment.get(name)}

    def mark(value: Any, written: Any, key: str) -> Any:
        if isinstance(value, dict):
            items = written if isinstance(written, dict) else dict.fromkeys(value, written)
            return {
                name: mark(item, items.get(name), f"{key}.{name}" if key else str(name)) for name, item in value.items()
            }
        if isinstance(value, list):
            entries = written if isinstance(written, list) and len(written) == len(value) else [written] * len(value)
            return [mark(item, entry, key) for item, entry in zip(value, entries, strict=True)]
        if not isinstance(value, str) or not isinstance(written, str) or "${" not in written:
            return value
        shown = written if "oc.env" in written else _named(value, values)
        if shown == value:
            return value
        if has_effect(key) and not is_secret(key) and not any(map(is_secret, _OF_ENVIRONMENT.findall(shown))):
            shown += f" #{hashlib.sha256(value.encode()).hexdigest()[:6]}"
        return FromEnvironment(value, shown)

    return mark(config, raw, "") if "oc.env" in str(raw) else config


def shown(node: Any) -> Any:
    """A config, or a part of one, as every file shows it: without what names, or the text itself, say is a secret."""
    if isinstance(node, FromEnvironment):
        return node.shown
    if isinstance(node, Mapping):
        return {key: _shown_at(key, value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [shown(item) for item in node]
    return _shown_word(node) if isinstance(node, str) else node


def shown_yaml(config: Any) -> str:
    """A composed config, or a list, as YAML: not resolved, and without secrets."""
    config = (
        OmegaConf.to_container(config, structured_config_mode=SCMode.DICT) if OmegaConf.is_config(config) else config
    )
    return str(yaml.dump(_as_yaml(shown(config)), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000))


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """In C where there is one: a run writes three such files."""


def _text(dumper: Any, text: str) -> Any:
    """OmegaConf takes 1e-3 for a number, YAML does not."""
    try:
        float(text)
    except ValueError:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'")


_Dumper.add_representer(str, _text)


def _as_yaml(node: Any) -> Any:
    """What every YAML reader knows: names of enums, and other things as text."""
    if isinstance(node, dict):
        return {_as_yaml(key): _as_yaml(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_as_yaml(item) for item in node]
    if isinstance(node, enum.Enum):
        return node.name
    return node if node is None or type(node) in (str, int, float, bool, bytes) else str(node)


def shown_words(words: Iterable[str]) -> list[str]:
    """A command line, or overrides, word by word."""
    found, is_value = [], False
    for word in words:
        found.append(MASK if is_value else _shown_word(word))
        is_value = word.startswith("-") and is_secret(word.lstrip("-"))
    return found


def shown_text(text: str, config: Any = None) -> str:
    """Text such as a diff or an error; what `config` has from the environment does not stand in it either."""
    for value in sorted(set(_hidden(config)), key=len, reverse=True):
        text = text.replace(value, value.shown)
    return _OF_A_URL.sub(MASK, _PAIRS.sub(_mask, text))


def _shown_at(key: object, value: Any) -> Any:
    """A secret stays hidden with all that is below it; a switch is none."""
    if isinstance(value, (bool, FromEnvironment)) or value in (None, "") or not _hides(key, value):
        return shown(value)
    return value if isinstance(value, str) and _REFERENCE.fullmatch(value) else MASK


def _hides(key: object, value: Any) -> bool:
    """Whether what stands at `key` is a secret."""
    if is_secret(key) or _MAY_BE_SECRET.fullmatch(str(key)) is None:
        return is_secret(key)
    return not all(map(_NUMBERS.fullmatch, map(str, value.values() if isinstance(value, Mapping) else [value])))


def _shown_word(word: str) -> str:
    name, equals, value = word.partition("=")
    key = name.lstrip("+~-")
    secret = _hides(key, value) or _hides(key.rpartition(".")[2], value)
    if equals and not _REFERENCE.fullmatch(value) and (secret or (value[:1] in ("{", "[") and _PAIRS.search(value))):
        return f"{name}={MASK}"  # the whole of a list or a dict: where a value in it ends is a matter of grammar
    return shown_text(word)


def _mask(match: re.Match[str]) -> str:
    head = next(found for found in match.groups() if found is not None)
    value = match[0][len(head) :]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{head}{quote}{MASK}{quote}"


def _named(text: str, values: Mapping[str, str]) -> str:
    for value in sorted(values, key=len, reverse=True):
        if text == value or len(value) >= _TELLING:
            text = text.replace(value, f"${{oc.env:{values[value]}}}")
    return text


def _hidden(node: Any) -> Iterator[FromEnvironment]:
    if isinstance(node, FromEnvironment) and len(node) >= _TELLING:
        yield node
    elif isinstance(node, (dict, list)):
        for item in node.values() if isinstance(node, dict) else node:
            yield from _hidden(item)
