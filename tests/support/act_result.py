"""What `.ci/act` does with what act leaves.

act_result.py show LOG SUMMARY              print act's JSON log for people; write the job's summary to SUMMARY
act_result.py check OUTCOME FOLDER SUMMARY  fail unless FOLDER, the artifact, and SUMMARY tell of that outcome
"""

import json
import re
import sys
from pathlib import Path


def show(log: Path, summary: Path) -> None:
    """act keeps no summary; it logs each step's as an entry of its own."""
    parts = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            print(line)
            continue
        if entry.get("command") == "summary":
            parts.append(entry["content"])
        elif entry.get("level") != "debug":
            print(entry.get("msg", "").rstrip("\n"))
    summary.write_text("".join(parts), encoding="utf-8")


def check(outcome: str, folder: Path, summary: Path) -> None:
    result = json.loads((folder / "result.json").read_text())
    headline = result["headline"]
    text = summary.read_text()
    assert result["outcome"] == outcome, f"the outcome is {result['outcome']}: {headline}"
    verdict = "Welcome" if outcome == "not_started" else headline
    assert words(verdict) in words(text.splitlines()[0]), f"the summary does not begin with the verdict: {verdict}"
    assert text == (folder / "summary.md").read_text(), "the job's summary is not the artifact's summary.md"
    if outcome != "not_started":
        assert json.loads((folder / "evidence.json").read_text()), "the evidence is empty"
    print(f"{outcome}: {headline}")


def words(text: str) -> str:
    """`text` without Markdown's marks and capitals."""
    return " ".join(re.sub(r"[*_`\\]", "", text).casefold().split())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["show", log, summary]:
            show(Path(log), Path(summary))
        case ["check", outcome, folder, summary]:
            check(outcome, Path(folder), Path(summary))
        case _:
            sys.exit(__doc__)
