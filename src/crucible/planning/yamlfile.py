"""YAML at the edge: a file becomes a typed record, or an error that names the line, the key and a likely meaning."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from crucible.errors import CrucibleError, Fault

Record = TypeVar("Record")
MAX_BYTES = 256 * 1024

_MERGE = "tag:yaml.org,2002:merge"
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""What an escape in quotes can say, and neither a command nor a file can hold."""

_MESSAGES = {
    "missing": "is missing",
    "unexpected_keyword_argument": "is not a key here",
    "extra_forbidden": "is not a key here",
    "string_type": "must be text",
    "dict_type": "must be a mapping of keys to values",
    "dataclass_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
}


def read(path: Path, kind: type[Record], *, fault: Fault) -> Record:
    """Read `path` as a `kind` (a dataclass). Raises a CrucibleError charged to `fault` for anything else."""
    text = _text(path, fault)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506  (a SafeLoader that also refuses duplicate keys)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise CrucibleError(
            f"not YAML: {getattr(error, 'problem', None) or error}",
            where=f"{path}{line}",
            fix="mend the line; a value that holds `: ` or `#` wants quotes",
            fault=fault,
        ) from error
    except (RecursionError, ValueError) as error:
        raise CrucibleError(
            f"cannot be read as YAML: {error}", where=str(path), fix="write it as plain, shallow YAML", fault=fault
        ) from error
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        raise _explained(error, path, node, kind, fault) from error


def line_of(path: Path, keys: tuple[str, ...]) -> int:
    """The line (1 and up) on which the value under `keys` stands in a file that `read` has accepted."""
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    return _line(node, keys)


def _text(path: Path, fault: Fault) -> str:
    fix = f"see the README for what {path.name} holds"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CrucibleError(f"larger than {MAX_BYTES // 1024} KiB", where=str(path), fix=fix, fault=fault)
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CrucibleError(f"cannot be read: {error.strerror}", where=str(path), fix=fix, fault=fault) from error
    except UnicodeDecodeError as error:
        raise CrucibleError("is not UTF-8 text", where=str(path), fix=fix, fault=fault) from error


class _UniqueKeys(yaml.SafeLoader):
    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if isinstance(value, str) and _NO_TEXT.search(value):
            raise yaml.constructor.ConstructorError(None, None, "a character that no text has", node.start_mark)
        return value

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        made = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in made.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE else None
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` stands here twice", key.start_mark)
            if name:
                seen.add(name)
        return made


def _explained(
    error: ValidationError, path: Path, node: yaml.Node | None, kind: type[Record], fault: Fault
) -> CrucibleError:
    first = min(error.errors(), key=lambda it: it["type"] == "missing")  # a misspelt key explains a missing one
    keys = tuple(str(part) for part in first["loc"])
    message = _MESSAGES.get(first["type"], first["msg"].removeprefix("Value error, "))
    close = get_close_matches(keys[-1], _keys_beside(kind, keys), n=1) if keys and "not a key" in message else []
    meaning = f"did you mean `{close[0]}`?" if close else f"see the README for what {path.name} holds"
    return CrucibleError(
        f"`{'.'.join(keys)}` {message}" if keys else f"the file {message}",
        where=f"{path}:{_line(node, keys)}",
        fix=meaning,
        fault=fault,
    )


def _keys_beside(kind: type[Any], keys: tuple[str, ...]) -> list[str]:
    """Names that would have been right in the place of `keys[-1]`, from the schema of `kind`."""
    schema = TypeAdapter(kind).json_schema()
    here: Mapping[str, Any] = schema
    for key in keys[:-1]:
        here = _resolved(schema, here)
        here = here.get("properties", {}).get(key) or here.get("additionalProperties") or here.get("items") or {}
    return list(_resolved(schema, here).get("properties", {}))


def _resolved(schema: Mapping[str, Any], here: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = here.get("$ref")
    return schema["$defs"][reference.rsplit("/", 1)[1]] if reference else here


def _line(node: yaml.Node | None, keys: tuple[str, ...]) -> int:
    line = 1
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if getattr(k, "value", None) == key]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
            node = node.value[int(key)]
            line = node.start_mark.line + 1
        else:
            break
    return line
