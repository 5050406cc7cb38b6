"""Front matter: what a Markdown file says of itself before its text, and that as metadata."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import yaml

from uec_retriever.data.types import flat, keeps
from uec_retriever.errors import CorpusError

_FRONT = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?\n)?\1[ \t]*(?:\n|\Z)", re.S)
_LONGEST = 2**16  # characters of front matter
_BITS = 64
_MOST_MERGED = 2**18  # values
_BAD = (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What readers raise, PyYAML also for tags whose values are none of theirs."""
_YAML = "tag:yaml.org,2002:"


def take_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """The front matter of a Markdown file, YAML between `---` or TOML between `+++`, and the text after it.

    What YAML takes for a number, a boolean or a date and could not give back as it was written stays text: `1.10`,
    `12:30`, `no`, `007`.

    Raises:
        ValueError: for what looks like it and cannot be read, or holds far more than it says.
    """
    match = _FRONT.match(text)
    if match is None or match.end() > _LONGEST:
        return {}, text
    try:
        found = (_read_yaml if match[1] == "---" else tomllib.loads)(match[2] or "")
    except _BAD as error:
        raise ValueError(f"its front matter cannot be read ({str(error).split(chr(10), 1)[0]})") from error
    if found is None:
        found = {}
    if not isinstance(found, Mapping):  # a rule, a sentence and another rule
        return {}, text
    _check_size(found)
    return {str(key): value for key, value in found.items()}, text[match.end() :].lstrip("\n")


def front_metadata(found: Mapping[str, Any]) -> dict[str, Any]:
    """Front matter as metadata: what they cannot hold, such as a list of objects, as JSON.

    Raises:
        CorpusError: for far too many or too deep objects.
    """
    try:
        flattened = flat(found)
    except ValueError as error:
        raise CorpusError(f"its front matter: {error}") from error
    return {key: _as_text(value) if _is_nested(value) else value for key, value in flattened.items()}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads plain scalars by the rules of a column of CSV; what is quoted, or has a tag, as it says."""

    _merged = 0

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        tag: str = super().resolve(kind, value, implicit)
        name = tag.removeprefix(_YAML)
        if kind is not yaml.ScalarNode or name not in ("int", "float", "bool", "timestamp"):
            return tag
        if name != "timestamp":
            return tag if keeps(name, value) else f"{_YAML}str"
        try:
            self.construct_yaml_timestamp(yaml.ScalarNode(tag, value))
        except ValueError:  # the 31st of February
            return f"{_YAML}str"
        return tag

    def flatten_mapping(self, node: Any) -> None:
        """Merge (`<<`) alike with all versions of PyYAML: own keys win, then what is named first, and all but once."""
        own, named = [], dict[int, Any]()
        for key, value in node.value:
            if key.tag == f"{_YAML}merge":
                parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
                named.update((id(part), part) for part in parts)
                continue
            if key.tag == f"{_YAML}value":
                key.tag = f"{_YAML}str"
            own.append((key, value))
        node.value = own
        merged = []
        for part in reversed(named.values()):
            if not isinstance(part, yaml.MappingNode):
                raise yaml.constructor.ConstructorError(problem="what is merged is no mapping")
            self.flatten_mapping(part)
            merged += part.value
            self._merged += len(part.value)
            if self._merged > _MOST_MERGED:
                raise yaml.constructor.ConstructorError(problem="it merges far too much")
        if named:
            pairs = {(k.tag, k.value) if isinstance(k.value, str) else id(k): (k, v) for k, v in merged + own}
            node.value = list(pairs.values())


def _read_yaml(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # a safe one


def _check_size(found: Mapping[Any, Any]) -> None:
    """Refuse what holds more characters than any front matter has: one part stands for many, or for itself."""
    size, left = 0, [_parts(found)]
    while left:
        value = next(left[-1], left)
        if value is left:
            left.pop()
            continue
        size += 1 + (len(value) if isinstance(value, str | bytes) else 0)
        if size > _LONGEST:
            raise ValueError(f"its front matter grows to more than {_LONGEST:,} characters by its aliases")
        if isinstance(value, int) and value.bit_length() > _BITS:
            raise ValueError(
                f"its front matter has an integer of more than {_BITS} bits, which quotes make text,"
            )
        if isinstance(value, Mapping):
            left.append(_parts(value))
        elif isinstance(value, list | tuple | set):
            left.append(iter(value))


def _parts(found: Mapping[Any, Any]) -> Iterator[Any]:
    for key, value in found.items():
        yield key
        yield value


def _is_nested(value: Any) -> bool:
    if isinstance(value, list):
        return len({type(item) for item in value}) > 1 or not isinstance(value[0], str | int | float | bool)
    return not isinstance(value, str | int | float | bool)


def _as_text(value: Any) -> str:
    """What metadata cannot hold, such as a time of the day; lists of lists or of objects as JSON."""
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, set):
        return sorted(map(str, value))
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return value.isoformat() if isinstance(value, date) else str(value)
