"""JSON schemas of what Crucible and its authors write. `python -m crucible.schemas --write` renews the files."""

import json
from pathlib import Path

from crucible import evidence
from crucible.judging import comparison, verdict
from crucible.planning import manifest

FOLDER = Path(__file__).resolve().parent
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def current() -> dict[str, str]:
    """File name -> text of each schema, as the types are now."""
    schemas = {
        f"evidence-{evidence.SCHEMA}.json": evidence.json_schema(),
        f"result-{verdict.SCHEMA}.json": verdict.json_schema(),
        f"comparison-{comparison.SCHEMA}.json": comparison.json_schema(),
        "challenge-1.json": manifest.json_schema(),
    }
    return {name: json.dumps({"$schema": DIALECT, **schema}, indent=2) + "\n" for name, schema in schemas.items()}


def stale() -> list[str]:
    """Names of the files that do not say what the types say."""
    return [name for name, text in current().items() if _read(FOLDER / name) != text]


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
