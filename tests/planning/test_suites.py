"""A suite names only what is there."""

from dataclasses import replace
from pathlib import Path

import pytest
from support import evidence_builder as build

from crucible.errors import CrucibleError, Fault
from crucible.planning.challenges import Challenge
from crucible.planning.manifest import Declaration

MANIFEST = replace(
    build.MANIFEST, declares={"delivery": Declaration("How often.", {"at-most-once": "Some may never arrive."})}
)


def challenge(folder: Path, further: str) -> Challenge:
    (folder / "toy" / "hidden").mkdir(parents=True)
    (folder / "toy" / "hidden" / "checks.py").write_text(
        "from crucible.check import Check, Suite\n\n"
        f"CHECK = Check('T-1', 'word', 'It holds.', 'Does it?', True, (), lambda history: None, {further})\n"
        "SUITE = Suite((), (CHECK,))\n"
    )
    return Challenge(folder / "toy", MANIFEST)


def test_a_gate_may_be_none_under_a_declaration_of_the_manifest(tmp_path: Path) -> None:
    suite = challenge(tmp_path, "unless={'delivery': 'at-most-once'}, explained_by=('T-1',)").suite
    assert suite.checks[0].unless == {"delivery": "at-most-once"}


@pytest.mark.parametrize(
    ("further", "what"),
    [
        ("unless={'delivry': 'x'}", "T-1 is no gate under declarations that are not there: delivry"),
        ("explained_by=('T-2',)", "T-1 is explained by checks that are not there: T-2"),
    ],
)
def test_what_is_not_there_is_the_authors_fault(tmp_path: Path, further: str, what: str) -> None:
    with pytest.raises(CrucibleError) as found:
        _ = challenge(tmp_path, further).suite
    assert (found.value.what, found.value.fault, found.value.where) == (what, Fault.AUTHOR, "toy/hidden/checks.py")
