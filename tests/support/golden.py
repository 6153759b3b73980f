"""Compares a text with a file; `CRUCIBLE_REWRITE_GOLDEN=1` writes the file instead."""

import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "golden"
REWRITE = "CRUCIBLE_REWRITE_GOLDEN"


def check(path: Path, text: str) -> None:
    """Assert that `path` holds exactly `text`."""
    if os.environ.get(REWRITE) == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"{path.name} is missing: run `{REWRITE}=1 pytest tests/report`"
    assert text == path.read_text(encoding="utf-8"), f"if this is right, run `{REWRITE}=1 pytest tests/report`"
