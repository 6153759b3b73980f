"""Facts that a scenario notes and its judge reads, as records of one type that both know."""

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from crucible.check import History, Lab

Fact = TypeVar("Fact")
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def note(lab: Lab, fact: object, name: str = "") -> None:
    """Record a fact, a frozen dataclass of what JSON can hold, under its type and `name`; a later one replaces it."""
    kind = type(fact)
    lab.note(_key(kind, name), _adapter(kind).dump_python(fact, mode="json"))


def noted(history: History, kind: type[Fact]) -> dict[str, Fact]:
    """Every fact of a type by its name, in the order of noting."""
    own = f"{kind.__name__}/"
    found = {key.removeprefix(own): value for key, value in history.facts.items() if key.startswith(own)}
    return {name: _read(kind, value) for name, value in found.items()}


def fact(history: History, kind: type[Fact], name: str = "") -> Fact | None:
    """One fact; None where the scenario did not get so far."""
    key = _key(kind, name)
    return _read(kind, history.facts[key]) if key in history.facts else None


def _key(kind: type[Any], name: str) -> str:
    return f"{kind.__name__}/{name}"


def _read(kind: type[Fact], value: object) -> Fact:
    try:
        found: Fact = _adapter(kind).validate_python(value)
    except ValidationError as error:
        raise ValueError(f"the fact {kind.__name__} is not what was noted: {error.errors()[0]['msg']}") from error
    return found


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
