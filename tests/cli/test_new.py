"""`crucible-new`, as it is typed."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from crucible.cli import explain
from crucible.cli.new import ENDINGS, main
from crucible.errors import CrucibleError, Fault
from crucible.planning import challenges

STALLED = """
import time
from crucible.commands import atomic
from crucible.cli.new import main
real = atomic._write
def stalls(folder, files):
    real(folder, files)
    print("written", flush=True)
    time.sleep(60)
atomic._write = stalls
main()
"""


@pytest.fixture(autouse=True)
def _signals_kept() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ENDINGS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_alone_it_lists_the_challenges_and_says_how_to_go_on() -> None:
    result = run()
    assert result.exit_code == 0
    for slug in challenges.folders({}):
        assert re.search(rf"^  {slug} +[A-Z]\w+ ", result.stdout, re.MULTILINE)
    assert re.search(r"^  rate-limiter +Count every caller's requests", result.stdout, re.MULTILINE)
    assert re.search(r"^  notification-service +Tell a shop's customers", result.stdout, re.MULTILINE)
    assert "crucible-new CHALLENGE DIR" in result.stdout


def test_it_says_what_comes_next(tmp_path: Path) -> None:
    result = run("rate-limiter", str(tmp_path / "my limiter"))
    assert result.exit_code == 0
    assert f"cd '{tmp_path}/my limiter'" in result.stdout
    assert "crucible grade" in result.stdout
    assert (tmp_path / "my limiter" / "crucible.yaml").is_file()


def test_in_the_directory_itself_there_is_nowhere_to_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("rate-limiter", ".")
    assert result.exit_code == 0
    assert "cd " not in result.stdout
    assert Path("crucible.yaml").is_file()


@pytest.mark.parametrize("arguments", [["rate-limiter"], ["rate-limiter", ""], ["rate-limiter", "x", "y"], ["--no"]])
def test_a_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_an_error_is_three_lines_on_stderr(tmp_path: Path) -> None:
    result = run("rate-limitr", str(tmp_path / "x"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "error: there is no challenge `rate-limitr`\nwhere: the command line\nfix:   did you mean `rate-limiter`?\n"
    )


def test_an_error_cannot_steer_the_terminal() -> None:
    error = CrucibleError("a\x1b[2J\n\udc80", where="b\r", fix="c\u202e", fault=Fault.CRUCIBLE, excerpt="d\x07\né")
    assert explain(error) == "\n".join(
        ["error: a\\x1b[2J\\n\\udc80", "where: b\\r", "fix:   c\\u202e", "", "  | d\\x07", "  | é"]
    )


@pytest.mark.machine
@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", STALLED, "rate-limiter", str(tmp_path / "x" / "y")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "written\n"
            process.send_signal(number)
            _, errors = process.communicate(timeout=10)
        finally:
            process.kill()
    assert (process.returncode, errors) == (130, "interrupted\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.machine
def test_it_loads_no_more_than_it_needs() -> None:
    code = "import sys, crucible.cli.new; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )
    heavy = {
        "rich", "redis", "psycopg", "boto3", "pika", "github", "requests", "psutil", "uvloop", "asyncio",
        "crucible.run", "crucible.lab", "crucible.load", "crucible.services",
    }  # fmt: skip
    assert loaded & heavy == set()
