"""Untrusted text made safe to show. What a solution answered is never markup, a mention, a link or a command."""

import json
import re
import unicodedata

from pydantic import JsonValue

_LIMIT = 300
_ACTIVE = re.compile(r"[\\`*_\[\]#|~$!<>]")
_LIST_START = re.compile(r"^(\d+)(?=[.)](?:\s|$))|^(?=[-+=])")
_COMMAND = re.compile(r"::(?=[A-Za-z])|##(?=\[)")
_BREAKER = "\u2060"
"""Word joiner: invisible, and enough for `@name`, `://` and `www.` to be no mention and no link."""


class Markdown(str):
    """Text that is safe to put into Markdown as it is."""

    __slots__ = ()


def plain(value: object, limit: int = _LIMIT) -> str:
    """One line of at most `limit` characters, without control, bidirectional or invisible characters.

    A workflow command (`::error::`, `##[error]`) is broken apart, since the text may reach a step's output.
    """
    text = str(value)
    cut = text[: limit + 1]
    line = "".join(_visible(character) for character in cut)
    line = _COMMAND.sub(lambda match: f"{match[0][0]} {match[0][1]}", line)
    return line[: limit - 1] + "…" if len(text) > limit or len(line) > limit else line


def escape_md(value: object, limit: int = _LIMIT) -> Markdown:
    """`plain`, with everything escaped that GitHub-flavoured Markdown or HTML would take for more than text."""
    text = plain(value, limit).strip()
    text = text.replace("&", "&amp;")
    text = _ACTIVE.sub(lambda match: {"<": "&lt;", ">": "&gt;"}.get(match[0], "\\" + match[0]), text)
    text = _LIST_START.sub(lambda match: f"{match[0]}\\", text)
    text = text.replace("@", "@" + _BREAKER).replace("://", ":" + _BREAKER + "//")
    return Markdown(re.sub(r"(?i)\bwww\.", lambda match: match[0][:3] + _BREAKER + ".", text))


def code_md(value: object, limit: int = 100) -> Markdown:
    """A code span, fit for table cells too; what would end either is replaced by its look-alike."""
    text = plain(value, limit).strip().replace("`", "'").replace("|", "¦")
    return Markdown(f"`{text}`") if text else Markdown("–")


def line_md(value: object, limit: int = _LIMIT) -> Markdown:
    """A line inside a fenced block, where only a fence itself is special."""
    return Markdown(plain(value, limit).replace("```", "'''").replace("~~~", "---"))


def label_md(value: object) -> Markdown:
    """A label inside quotes in a Mermaid diagram, whose own syntax is anything beyond words."""
    return Markdown(re.sub(r"[^\w ×.,-]", "_", plain(value, 60)))


def sentence(text: str) -> str:
    """With a capital at the start, as in a heading."""
    return text[:1].upper() + text[1:]


def compact(value: JsonValue) -> str:
    """JSON as short as it gets."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _visible(character: str) -> str:
    if character in "\t\n\r\v\f\u0085\u2028\u2029":
        return " "
    return "\ufffd" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") else character
