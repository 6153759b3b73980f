"""The Action's step, with a stand-in for the grader that does what the test tells it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support import hostile

from crucible.errors import CrucibleError
from crucible.github import actions
from crucible.github.actions import Conclusion
from crucible.github.settings import FailOn, Settings, read_settings

GRADER_THAT_OBEYS = """
import json, os, pathlib, sys
plan = json.loads(pathlib.Path(PLAN).read_text())
folder = next(pathlib.Path(a.removeprefix("--output=")) for a in sys.argv if a.startswith("--output="))
seen = {"arguments": sys.argv[1:], "environ": dict(os.environ)}
if sys.argv[1] == "compare":
    (folder.parent.parent / "compared.json").write_text(json.dumps(seen))
    print("comparing")
    folder.mkdir()
    for name, text in (plan["compared"] or {}).items():
        (folder / name).write_text(text)
    sys.exit(0 if plan["compared"] else 3)
(folder.parent / "seen.json").write_text(json.dumps(seen))
sys.stdout.write(plan["prints"])
if plan["files"] is not None:
    for name, text in plan["files"].items():
        (folder / name).write_text(text)
sys.exit(plan["code"])
"""


@dataclass(frozen=True)
class Step:
    """What one run of the step left."""

    code: int
    printed: str
    summary: str
    outputs: dict[str, str]
    folder: Path
    arguments: list[str]
    environ: dict[str, str]


@dataclass(frozen=True)
class Runner:
    """A runner's folders, and a grader that does as it is told."""

    root: Path
    capture: pytest.CaptureFixture[bytes]

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "GITHUB_WORKSPACE": str(self.root / "workspace"),
            "GITHUB_OUTPUT": str(self.root / "output"),
            "GITHUB_STEP_SUMMARY": str(self.root / "summary.md"),
            "GITHUB_TOKEN": "secret",
            "ACTIONS_RUNTIME_TOKEN": "secret",
            "RUNNER_TEMP": str(self.root / "temp"),
            "RUNNER_TRACKING_ID": "github_1",
            "INPUT_MODE": "quick",
        }

    def step(
        self,
        code: int = 0,
        *,
        outcome: str | None = None,
        gates: str | None = None,
        fits: Sequence[str] = (),
        headline: str = "All 5 gates pass.",
        summary: str | None = "# Passed\n",
        files: Mapping[str, str] | None = None,
        compared: Mapping[str, str] | None = None,
        prints: str = "grading\n",
        **inputs: str,
    ) -> Step:
        written = dict(files or {})
        if outcome is not None:
            written["result.json"] = result(outcome, headline, gates, fits)
            written["evidence.json"] = "{}"
        if summary is not None:
            written["summary.md"] = summary
        plan = self.root / "plan.json"
        plan.write_text(json.dumps({"code": code, "prints": prints, "files": written or None, "compared": compared}))
        script = self.root / "grader.py"
        script.write_text(GRADER_THAT_OBEYS.replace("PLAN", repr(str(plan))))
        environ = self.environ | {f"INPUT_{name.upper()}": value for name, value in inputs.items()}
        code = actions.main(environ, (sys.executable, str(script)))
        outputs = read_outputs(self.root / "output")
        folder = Path(outputs["directory"])
        seen = json.loads((folder.parent / "seen.json").read_text())
        return Step(
            code=code,
            printed=self.capture.readouterr().out.decode(),
            summary=(self.root / "summary.md").read_text(),
            outputs=outputs,
            folder=folder,
            arguments=seen["arguments"],
            environ=seen["environ"],
        )


def result(outcome: str, headline: str = "x", gates: str | None = None, fits: Sequence[str] = ()) -> str:
    judged = [{"profile": profile, "result": "fits"} for profile in fits] + [{"profile": "no", "result": "does_not"}]
    return json.dumps({"outcome": outcome, "headline": headline, "gates": gates or outcome, "fits": judged})


def read_outputs(file: Path) -> dict[str, str]:
    """The runner's reading of its output file."""
    pattern = r"^(\w+)<<(ghadelimiter_[0-9a-f-]{36})\n(.*?)\n\2$"
    return {name: value for name, _, value in re.findall(pattern, file.read_text(), re.MULTILINE | re.DOTALL)}


@pytest.fixture
def runner(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Runner:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "temp").mkdir()
    return Runner(tmp_path, capfdbinary)


def test_settings_come_from_the_environment(runner: Runner) -> None:
    inputs = {"INPUT_WORKING_DIRECTORY": "api", "INPUT_MODE": "full", "INPUT_PROFILE": "launch", "GITHUB_SHA": "abc"}
    inputs |= {"INPUT_SEED": "7", "INPUT_FAIL_ON": "never", "INPUT_CHALLENGE": "toy", "INPUT_SUITE": "mine"}
    settings = read_settings(runner.environ | inputs | {"INPUT_COMPARE_WITH": "base", "INPUT_COMMENT": "result"})
    assert settings == Settings(
        working_directory=runner.root / "workspace" / "api",
        challenge="toy",
        mode="full",
        profile="launch",
        seed=7,
        suite=runner.root / "workspace" / "mine",
        fail_on="never",
        compare_with=runner.root / "workspace" / "base",
        comment=runner.root / "workspace" / "result",
        workspace=runner.root / "workspace",
        commit="abc",
        temp=runner.root / "temp",
        output_file=runner.root / "output",
        summary_file=runner.root / "summary.md",
        private=(runner.root, runner.root / "temp" / "_runner_file_commands"),
    )


def test_empty_inputs_have_defaults(runner: Runner) -> None:
    settings = read_settings(runner.environ | {"INPUT_MODE": "", "INPUT_WORKING_DIRECTORY": ""})
    assert settings.working_directory == runner.root / "workspace"
    assert (settings.mode, settings.profile, settings.seed, settings.fail_on) == ("quick", "", None, "profile")
    assert (settings.challenge, settings.suite, settings.compare_with, settings.comment) == ("", None, None, None)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("INPUT_MODE", "fast", "`fast` is not a mode"),
        ("INPUT_FAIL_ON", "sometimes", "`sometimes` is not a fail-on"),
        ("INPUT_SEED", "-1", "`-1` is not a seed"),
        ("INPUT_SEED", "1e9", "`1e9` is not a seed"),
        ("RUNNER_TEMP", "", "RUNNER_TEMP is not set"),
    ],
)
def test_an_input_that_cannot_be_meant_is_named(runner: Runner, name: str, value: str, says: str) -> None:
    with pytest.raises(CrucibleError, match=says):
        read_settings(runner.environ | {name: value})


def test_a_bad_input_is_a_usage_error_in_one_annotation(runner: Runner) -> None:
    assert actions.main(runner.environ | {"INPUT_MODE": "fast\n::warning::x"}) == actions.USAGE
    printed = runner.capture.readouterr().out.decode()
    assert printed.startswith("::error title=Crucible::the Action's input `mode`: `fast%0A::warning::x` is not a mode")
    assert printed.count("\n") == 1


@pytest.mark.machine
def test_a_pass_leaves_the_summary_the_outputs_and_a_notice(runner: Runner) -> None:
    step = runner.step(0, outcome="passed", fits=["launch", "paid-quota"])
    assert step.code == 0
    assert step.summary == "# Passed\n"
    assert step.outputs == {
        "outcome": "passed",
        "fits": "launch,paid-quota",
        "news": "true",
        "directory": str(step.folder),
        "result": str(step.folder / "result.json"),
        "summary": str(step.folder / "summary.md"),
        "evidence": str(step.folder / "evidence.json"),
    }
    assert (step.folder / "terminal.txt").read_text() == "grading\n"
    assert step.printed.endswith("::notice title=Crucible::All 5 gates pass.\n")


@pytest.mark.machine
def test_the_grader_is_called_with_the_inputs(runner: Runner) -> None:
    step = runner.step(0, outcome="passed", mode="full", profile="--output=x", seed="7", working_directory="-w")
    workspace = runner.root / "workspace"
    private = [f"--private={it}" for it in (runner.root, runner.root / "temp" / "_runner_file_commands")]
    assert step.arguments == [
        *("grade", "--full", f"--output={step.folder}", "--profile=--output=x", "--seed=7", *private),
        *("--", f"{workspace}/-w"),
    ]


@pytest.mark.machine
def test_a_challenge_is_asked_for_and_a_suite_is_where_challenges_are_looked_for(runner: Runner) -> None:
    step = runner.step(0, outcome="passed", challenge="rate-limiter", suite="mine")
    assert "--challenge=rate-limiter" in step.arguments
    assert step.environ["CRUCIBLE_CHALLENGES"] == str(runner.root / "workspace" / "mine")


@pytest.mark.machine
def test_another_version_is_compared_after_the_grade(runner: Runner) -> None:
    step = runner.step(
        1, outcome="failed", compare_with="base", working_directory="head", profile="launch",
        compared={"comparison.json": "{}", "comparison.md": "### head, compared with base\n"},
    )  # fmt: skip
    workspace = runner.root / "workspace"
    arguments = json.loads((step.folder.parent / "compared.json").read_text())["arguments"]
    assert arguments[:3] == ["compare", f"--output={step.folder}/comparison", "--profile=launch"]
    assert arguments[-3:] == ["--", f"{workspace}/base", f"{workspace}/head"]
    assert step.summary == "# Passed\n\n### head, compared with base\n"
    assert (step.folder / "comparison.txt").read_text() == "comparing\n"
    assert step.printed.count("::stop-commands::") == 2


@pytest.mark.machine
def test_what_cannot_be_compared_leaves_the_grade_as_it_is(runner: Runner) -> None:
    step = runner.step(0, outcome="passed", compare_with="base")
    assert step.code == 0
    assert "could not be compared (exit code 3); `comparison.txt` says why" in step.summary


@pytest.mark.machine
def test_the_untouched_starter_is_not_compared(runner: Runner) -> None:
    assert "compar" not in runner.step(1, outcome="not_started", compare_with="base").summary


@pytest.mark.machine
def test_a_result_is_kept_for_the_next_push_which_is_told_of_it(runner: Runner) -> None:
    assert not [it for it in runner.step(0, outcome="passed").arguments if it.startswith("--since")]
    place = runner.root / "temp" / "crucible-previous" / "push.json"
    assert json.loads(place.read_text())["result"]["outcome"] == "passed"
    (runner.root / "output").unlink()
    assert f"--since={place}" in runner.step(1, outcome="failed").arguments
    (runner.root / "output").unlink()
    runner.step(1, summary=None)
    assert json.loads(place.read_text())["result"]["outcome"] == "failed", "a grade without a result leaves it"


POINTED = [
    {"level": "error", "title": f"RL-{number}", "message": "it did", "line": None} for number in range(20)
] + [{"level": "notice", "title": "Prediction", "message": "3, and 5", "line": 7}]  # fmt: skip


@pytest.mark.machine
def test_what_can_be_pointed_at_is_and_no_more_than_github_shows(runner: Runner) -> None:
    (runner.root / "workspace" / "solution" / ".git").mkdir(parents=True)
    pointed = {"annotations.json": json.dumps(POINTED)}
    printed = runner.step(1, outcome="failed", files=pointed, working_directory="solution").printed.splitlines()
    errors = [line for line in printed if line.startswith("::error ")]
    assert len(errors) == 10
    assert errors[0] == "::error title=Crucible%3A RL-0::it did"
    assert errors[-1] == printed[-1] == "::error title=Crucible::All 5 gates pass."
    assert "::notice title=Crucible%3A Prediction,file=crucible.yaml,line=7::3, and 5" in printed


@pytest.mark.machine
def test_a_line_is_that_of_the_file_in_its_repository(runner: Runner) -> None:
    (runner.root / "workspace" / ".git").mkdir()
    pointed = {"annotations.json": json.dumps(POINTED[-1:])}
    printed = runner.step(0, outcome="passed", files=pointed, working_directory="services/api").printed
    assert "file=services/api/crucible.yaml,line=7::" in printed


@pytest.mark.machine
@pytest.mark.parametrize("text", hostile.TEXTS, ids=hostile.NAMES)
def test_hostile_words_print_no_command_and_write_no_output(runner: Runner, text: str) -> None:
    text = text.encode(errors="replace").decode()
    pointed = [{"level": "error", "title": text, "message": text, "line": 1}]
    step = runner.step(
        1, outcome="failed", headline=text, fits=[text], summary=None, prints=text[:900], working_directory="x",
        files={"annotations.json": json.dumps(pointed)},
    )  # fmt: skip
    start, *_ = step.printed.splitlines()
    after = step.printed.partition(f"\n::{start.removeprefix('::stop-commands::')}::\n")[2]
    assert [line.partition(" ")[0] for line in after.splitlines()] == ["::error", "::error"]
    assert all(len(line) < 4_096 for line in after.splitlines())
    assert set(step.outputs) == {"outcome", "fits", "news", "directory", "result", "summary", "evidence"}
    assert step.outputs["outcome"] == "failed"
    assert not hostile.leaks(step.summary.replace("\r", ""))
    assert "<script" not in step.summary
    assert "<img" not in step.summary


@pytest.mark.machine
def test_the_grader_gets_no_command_file_token_or_input(runner: Runner) -> None:
    environ = runner.step(0, outcome="passed").environ
    assert {name for name in environ if re.match("GITHUB_|ACTIONS_|RUNNER_|INPUT_", name)} == {"RUNNER_TRACKING_ID"}
    assert "secret" not in environ.values()


@pytest.mark.machine
def test_the_report_is_as_wide_as_the_log(runner: Runner) -> None:
    assert runner.step(0, outcome="passed").environ["COLUMNS"] == "120"


@pytest.mark.machine
def test_what_the_grader_prints_is_never_a_command(runner: Runner) -> None:
    step = runner.step(0, outcome="passed", prints="::error::mine\n::add-mask::a")
    start, *middle, end, annotation = step.printed.splitlines()
    token = start.removeprefix("::stop-commands::")
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert middle == ["::error::mine", "::add-mask::a"]
    assert end == f"::{token}::"
    assert annotation.startswith("::notice ")


@pytest.mark.machine
@pytest.mark.parametrize(
    ("code", "outcome", "fail_on", "expected", "level"),
    [
        (0, "passed", "profile", 0, "notice"),
        (1, "failed", "profile", 1, "error"),
        (4, "inconclusive", "profile", 4, "error"),
        (3, "error", "profile", 3, "error"),
        (0, "passed", "gates", 0, "notice"),
        (1, "not_started", "gates", 0, "notice"),
        (1, "failed", "gates", 1, "error"),
        (4, "inconclusive", "gates", 4, "error"),
        (3, "error", "gates", 3, "error"),
        (0, "passed", "never", 0, "notice"),
        (1, "not_started", "never", 0, "notice"),
        (1, "failed", "never", 0, "warning"),
        (4, "inconclusive", "never", 0, "warning"),
        (3, "error", "never", 3, "error"),
    ],
)
def test_the_step_fails_as_fail_on_says(
    runner: Runner, code: int, outcome: str, fail_on: FailOn, expected: int, level: str
) -> None:
    step = runner.step(code, outcome=outcome, fail_on=fail_on)
    assert step.code == expected
    assert step.outputs["outcome"] == outcome
    assert step.printed.splitlines()[-1].startswith(f"::{level} ")


@pytest.mark.machine
@pytest.mark.parametrize(("code", "outcome"), [(1, "failed"), (4, "inconclusive")])
def test_a_profile_that_is_missed_counts_for_profile_only(runner: Runner, code: int, outcome: str) -> None:
    step = runner.step(code, outcome=outcome, gates="passed", fail_on="gates")
    assert (step.code, step.outputs["outcome"]) == (0, outcome)
    assert step.printed.splitlines()[-1].startswith("::warning ")
    (runner.root / "output").unlink()
    assert runner.step(code, outcome=outcome, gates="passed", fail_on="profile").code == code


def ended(headline: str, code: int) -> Conclusion:
    return Conclusion("error", headline, code, "error")


@pytest.mark.parametrize(
    ("code", "outcome", "expected"),
    [
        (1, None, Conclusion("failed", "This could not be graded. The log of this step says why.", 1, "failed")),
        (2, None, ended("This could not be graded. The log of this step says why.", 2)),
        (3, None, ended("Crucible ended with exit code 3 and no result.", 3)),
        (0, None, ended("Crucible ended with exit code 0 and no result.", 3)),
        (137, None, ended("Crucible ended with exit code 137 and no result.", 3)),
        (0, "failed", ended("Crucible said `failed`, but ended with exit code 0.", 3)),
        (1, "passed", ended("Crucible said `passed`, but ended with exit code 1.", 3)),
        (137, "passed", ended("Crucible said `passed`, but ended with exit code 137.", 3)),
        (130, "passed", ended("The grade was interrupted.", 130)),
        (143, None, ended("The grade was interrupted.", 130)),
    ],
)
def test_nothing_passes_unless_result_and_exit_code_agree(
    tmp_path: Path, code: int, outcome: str | None, expected: Conclusion
) -> None:
    if outcome:
        (tmp_path / "result.json").write_text(result(outcome))
    assert actions.conclude(tmp_path / "result.json", code) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"outcome": 1, "headline": "x", "gates": "passed", "fits": []}',
        "\udcff",
        result("good"),
    ],
)
def test_a_result_that_is_none_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_bytes(text.encode(errors="surrogateescape"))
    assert actions.conclude(tmp_path / "result.json", 0).outcome == "error"


@pytest.mark.machine
def test_a_grade_without_files_shows_what_was_printed(runner: Runner) -> None:
    step = runner.step(1, summary=None, prints="\x1b[31mcrucible.yaml\x1b[0m: <b>`&` \x00\n\n\nwhat\n")
    assert step.code == 1
    assert step.outputs["outcome"] == "failed"
    assert step.outputs["result"] == step.outputs["summary"] == step.outputs["evidence"] == ""
    assert "<pre>crucible.yaml: &lt;b&gt;`&amp;` \ufffd\nwhat</pre>" in step.summary
    assert (step.folder / "terminal.txt").is_file()


@pytest.mark.machine
def test_an_endless_output_becomes_an_excerpt(runner: Runner) -> None:
    assert len(runner.step(1, summary=None, prints="x" * 200_000).summary) < actions.EXCERPT + 500


@pytest.mark.machine
def test_a_summary_that_github_would_drop_is_replaced_by_a_short_one(runner: Runner) -> None:
    step = runner.step(1, outcome="failed", headline="2 gates <fail>\n# x", summary="ü" * (460 * 1024 + 1))
    assert len(step.summary) < 1_000
    assert step.summary.startswith("<p><strong>Crucible: 2 gates &lt;fail&gt; # x</strong></p>\n\n")
    assert "920 KiB" in step.summary


def test_a_summary_within_the_budget_is_kept(tmp_path: Path) -> None:
    (tmp_path / "summary.md").write_text("x" * actions.SUMMARY_BUDGET)
    assert len(actions.step_summary(tmp_path, Conclusion("passed", "x", 0, "passed"))) == actions.SUMMARY_BUDGET + 1


@pytest.mark.machine
def test_a_hostile_headline_stays_in_its_annotation(runner: Runner) -> None:
    step = runner.step(1, outcome="failed", headline="a\r\n::set-env name=X::y\n100%")
    assert step.printed.splitlines()[-1] == "::error title=Crucible::a  : :set-env name=X: :y 100%25"


@pytest.mark.machine
def test_cancelling_the_step_reaches_the_grader(runner: Runner) -> None:
    """The grader is told, is waited for, and its own last words are kept."""
    script = runner.root / "waits.py"
    script.write_text(
        "import signal, sys, time\n"
        "def stop(*_): print('cleared away', flush=True); sys.exit(130)\n"
        "signal.signal(signal.SIGINT, stop); print('ready', flush=True); time.sleep(60)\n"
    )
    program = (
        "import sys; from crucible.github import actions; "
        f"sys.exit(actions.main(None, (sys.executable, {str(script)!r})))"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        [sys.executable, "-c", program], env=runner.environ | {"PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True
    ) as step:
        assert step.stdout is not None
        deadline = time.monotonic() + 20
        while "ready" not in step.stdout.readline():
            assert time.monotonic() < deadline, "the grader did not start"
        step.send_signal(signal.SIGINT)
        printed = step.stdout.read()
        assert step.wait(timeout=20) == actions.INTERRUPTED
    assert "cleared away" in printed
    assert printed.splitlines()[-1] == "::error title=Crucible::The grade was interrupted."
    assert read_outputs(runner.root / "output")["outcome"] == "error"


def test_never_keeps_crucibles_own_error_visible() -> None:
    conclusion = ended("x", 3)
    assert actions.step_exit_code(conclusion, "never") == 3
    assert actions.step_exit_code(replace(conclusion, exit_code=130), "never") == 130
