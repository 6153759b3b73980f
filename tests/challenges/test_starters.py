"""Every starter of every challenge: it is built, it starts, and it is welcomed."""

import os
import shutil
from pathlib import Path

import pytest
from support.solutions import crucible, left_behind, temporary_folder

from crucible.commands import scaffold
from crucible.planning import challenges

pytestmark = pytest.mark.machine

STARTERS = [
    (slug, lang)
    for slug, folder in challenges.folders({}).items()
    for lang in scaffold.languages(challenges.at(folder))
]
TOOLS = {"go": "go", "node": "npm", "python": "python3"}


@pytest.mark.builds
@pytest.mark.parametrize(("slug", "lang"), STARTERS)
def test_a_starter_is_built_started_and_welcomed(slug: str, lang: str, tmp_path: Path) -> None:
    if shutil.which(TOOLS[lang]) is None:
        missing = f"no {TOOLS[lang]} here: install it to try the {lang} starter"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    folder = scaffold.create(challenges.find(slug, {}, where="tests"), tmp_path / "mine", lang=lang)
    with temporary_folder() as base:
        done = crucible("grade", str(folder), TMPDIR=str(base))
        assert left_behind(base) == []
    assert done.code == 1, done.out + done.err
    assert "Welcome" in done.out
