"""Tables and headings on a terminal. Everything is `Text`, never markup, and has lost its control characters."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crucible.report.text import plain

NEVER_WRAPPED = ("axis", "samples")


def heading(text: str, console: Console, style: str = "bold") -> None:
    console.print()
    console.print(Text(plain(text), style=style))


def columns(*names: str, header: bool = False) -> Table:
    """A table without lines; the last column takes what room there is."""
    table = Table(box=box.SIMPLE_HEAD if header else None, show_header=header, show_edge=False, pad_edge=False)
    for name in names:
        table.add_column(Text(name), overflow="fold", no_wrap=name in NEVER_WRAPPED)
    return table


def cell(text: str, style: str = "", limit: int = 300) -> Text:
    return Text(plain(text, limit), style=style)
