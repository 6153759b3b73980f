"""The commands: parse, call, print, and nothing else. What they share is here."""

from crucible.errors import CrucibleError


def explain(error: CrucibleError) -> str:
    """The text that a user sees for `error`, in lines; nothing in it can steer a terminal."""
    lines = [f"error: {_plain(error.what)}", f"where: {_plain(error.where)}", f"fix:   {_plain(error.fix)}"]
    if error.excerpt:
        lines += ["", *(f"  | {_plain(line)}" for line in error.excerpt.splitlines())]
    return "\n".join(lines)


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
