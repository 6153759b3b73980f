"""Names that somebody typed: what is said of one that is not there."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class UnknownNameError(ValueError):
    """A check or profile that the user named and that is not there; `known` says which are."""

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no {kind} `{name}`; there are: {', '.join(known)}")


def nearest(name: str, known: Iterable[str], none: str = "") -> str:
    """What to do about a name that is none of `known`: the nearest one, or all of them; `none` where there are none."""
    names = list(known)
    close = get_close_matches(name, names, n=1)
    return f"did you mean `{close[0]}`?" if close else "use one of: " + (", ".join(names) or none)
