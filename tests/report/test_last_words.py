"""What a process that ended had printed, in every report: untrusted, in one line, and escaped."""

from dataclasses import replace
from pathlib import Path

import pytest
from support import evidence_builder as build

from crucible.evidence import Evidence, FaultEvent, from_json, to_json
from crucible.report import circumstances
from crucible.report.html import render_html
from crucible.report.summary import render_summary

POISON = "ok\n<script>alert('x')</script> @team \u0000\u202e [panic](http://evil) failed\n"


def dying(*logs: str) -> Evidence:
    events = tuple(FaultEvent("died", "web.0", i, detail={"status": 1, "log": log}) for i, log in enumerate(logs))
    contact, race, steady = build.PASSING
    return build.evidence(recordings=(contact, replace(race, events=events), steady))


def test_the_last_lines_of_who_ended_are_shown_once_for_every_way_of_ending() -> None:
    said = circumstances.mishaps(dying("KeyError: 'a'\n", "KeyError: 'b'\n"))
    assert said == ("web.0 ended by itself with status 1 (2 times) (the last it printed: KeyError: 'b')",)


def test_who_printed_nothing_is_told_as_before() -> None:
    assert circumstances.mishaps(dying("")) == ("web.0 ended by itself with status 1",)


def test_what_was_printed_is_markup_nowhere() -> None:
    graded = build.graded(dying(POISON))
    page, text = render_html(graded), render_summary(graded)
    assert "&lt;script&gt;alert" in page
    assert "<script>alert" not in page
    assert "<script>" not in text
    assert "[panic](" not in text
    assert "\u202e" not in page + text
    assert "\u0000" not in page + text


@pytest.mark.parametrize("log", [POISON, "\u0000" * 50])
def test_evidence_can_hold_it(log: str, tmp_path: Path) -> None:
    path = tmp_path / "evidence.json"
    path.write_bytes(to_json(dying(log)))
    assert from_json(path) == dying(log)
