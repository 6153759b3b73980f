"""`python -m crucible.schemas` says whether the schemas are current; with `--write` it makes them so."""

import sys

from crucible import schemas


def main(arguments: list[str]) -> int:
    if arguments == ["--write"]:
        for name, text in schemas.current().items():
            (schemas.FOLDER / name).write_text(text, encoding="utf-8")
        return 0
    if arguments:
        print("usage: python -m crucible.schemas [--write]", file=sys.stderr)
        return 2
    names = schemas.stale()
    for name in names:
        print(f"{name} is not current: run `python -m crucible.schemas --write`", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
