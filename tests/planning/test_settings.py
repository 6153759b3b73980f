"""What a challenge puts into the environment of every process."""

from dataclasses import replace

from crucible.planning import challenges
from crucible.planning.manifest import ByMode


def test_a_setting_may_be_another_one_in_a_quick_grade() -> None:
    manifest = challenges.find("upload-store", {}, where="tests").manifest
    both = replace(manifest, settings={"A": "1", "B": ByMode(quick="2", full="3")})
    assert both.environment("quick") == {"A": "1", "B": "2"}
    assert both.environment("full") == {"A": "1", "B": "3"}
    assert manifest.environment("quick") == {"UPLOAD_TTL_S": "15"}
