"""The repository that a learner starts with."""

import json
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest
import yaml

from crucible.commands import author, scaffold
from crucible.errors import CrucibleError, Fault
from crucible.planning import challenges
from crucible.planning.defaults import ACTION
from crucible.planning.images import IMAGES
from crucible.planning.solution import read_solution

SLUG = "rate-limiter"
CHALLENGE = challenges.find(SLUG, {}, where="tests")
PINNED = f"someone/crucible@{'0123456789abcdef' * 2}01234567"
TOOLS = Path(sys.executable).parent

FILES = [
    ".devcontainer/compose.yaml",
    ".devcontainer/devcontainer.json",
    ".github/dependabot.yml",
    ".github/workflows/feedback.yml",
    ".github/workflows/grade.yml",
    ".gitignore",
    "DECISION.md",
    "README.md",
    "app.py",
    "compose.yaml",
    "crucible.yaml",
    "openapi.yaml",
    "requirements.txt",
]

HOSTILE = [
    *("", "@", "crucible", "crucible@v1", "o/r", "o/r@", "/r@v1", "o/@v1", "o//r@v1", "o/r@v1 ", "o/r@v1\n"),
    *("o/r@v1\n  run: id", "o/r@v1 # zizmor", "o/r@v1: x", "o/r@${{ github.token }}", "o/r@{{ 7 * 7 }}", "'o/r@v1'"),
    *("o/r@v1'", "./x@v1", "../x@v1", "o/../x@v1", "o/..@v1", "o/r@../v1", "o/r@v1@v2", "docker://a/b@v1", "o/r@-v1"),
    *("ö/r@v1", "o/r@" + "a" * 300, "o/r@v1\x1b[2J"),
]


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return {str(name): content.decode() for name, content in scaffold.render(CHALLENGE).items()}


WAYS = [(ACTION, "python"), (PINNED, "python"), (PINNED, "node"), (PINNED, "go")]


@pytest.fixture(scope="module", params=WAYS, ids=["by a tag", "by a commit", "node", "go"])
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    action, lang = request.param
    return scaffold.create(CHALLENGE, tmp_path_factory.mktemp("learner") / "repository", action=action, lang=lang)


def test_the_repository_is_these_files(files: dict[str, str]) -> None:
    assert sorted(files) == FILES


def test_the_same_question_gives_the_same_bytes() -> None:
    assert scaffold.render(CHALLENGE) == scaffold.render(CHALLENGE)


def test_nothing_that_learners_must_not_see_is_in_it(files: dict[str, str]) -> None:
    challenge = challenges.data_folder("challenge_templates") / SLUG
    kept = [path for place in ("hidden", "references", "flaws", "fair") for path in (challenge / place).rglob("*")]
    kept = [
        path for path in (*kept, challenge / "positions.json") if path.is_file() and "__pycache__" not in path.parts
    ]
    assert len(kept) > 10
    for path in kept:
        content = path.read_bytes().strip()
        for name, text in files.items():
            assert content not in text.encode(), f"{path} is in {name}"


def test_no_template_syntax_is_left(files: dict[str, str]) -> None:
    for name, text in files.items():
        assert "{%" not in text, name
        assert not re.search(r"(?<!\$)\{\{", text), name
        assert text.endswith("\n"), name
        assert not text.endswith("\n\n"), name


def test_a_container_to_work_in_has_the_services_in_its_environment(repository: Path) -> None:
    folder = repository / ".devcontainer"
    written = "".join(
        line for line in (folder / "devcontainer.json").read_text().splitlines() if not line.startswith("//")
    )
    described = json.loads(written)
    composed = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    assert described["dockerComposeFile"] == ["../compose.yaml", "compose.yaml"]
    assert described["postCreateCommand"]["solution"] == read_solution(repository, {}).build
    install = described["postCreateCommand"]["crucible"]
    assert re.search(r" install git\+https://github\.com/[\w.-]+/crucible@\S+$", install)
    workspace = composed[described["service"]]
    assert workspace["volumes"] == [".:/workspace:cached"], "paths are reckoned from the first of the compose files"
    assert set(workspace["depends_on"]) == {"postgres", "redis"}
    assert workspace["environment"]["REDIS_URL"] == "redis://redis:6379/0"
    assert "@postgres:5432/" in workspace["environment"]["DATABASE_URL"]


def test_what_was_generated_can_be_graded(repository: Path) -> None:
    solution = read_solution(repository, {})
    assert solution.manifest.slug == SLUG
    assert solution.services == ()
    assert solution.processes["web"].command != ""
    assert solution.build is not None


def test_the_brief_shows_every_axis_profile_service_and_limit(files: dict[str, str]) -> None:
    manifest = CHALLENGE.manifest
    brief = files["README.md"]
    for axis in manifest.axes:
        assert f"| `{axis.id}` |" in brief
        assert f"| `{axis.id}` " in files["DECISION.md"]
    for profile in manifest.profiles:
        section = brief.partition(f"**`{profile.id}`**")[2].partition("\n- ")[0]
        for axis_id, limit in profile.limits.items():
            assert f"  - `{axis_id}` {'≤' if limit.at_most is not None else '≥'} " in section
    for service in manifest.services:
        assert f"`{IMAGES[service].variable}`" in brief


def test_compose_and_the_workflow_start_the_same_servers(repository: Path) -> None:
    composed = yaml.safe_load((repository / "compose.yaml").read_text())["services"]
    job = yaml.safe_load((repository / ".github/workflows/grade.yml").read_text())["jobs"]["grade"]
    assert composed.keys() == job["services"].keys() == {"postgres", "redis"}
    for name, service in composed.items():
        other = job["services"][name]
        image = IMAGES[name]
        assert service["image"] == other["image"] == image.image
        assert re.search(r":[^@]+@sha256:[0-9a-f]{64}\Z", image.image)
        assert service["environment"] == other["env"] == image.env
        assert other["ports"] == [f"{host}:{inner}" for host, inner in image.published.items()]
        assert service["ports"] == [f"127.0.0.1:{ports}" for ports in other["ports"]]
        assert service["healthcheck"]["test"] == ["CMD-SHELL", image.health_cmd]
        assert f'--health-cmd "{image.health_cmd}"' in other["options"]


def test_the_action_is_told_where_the_servers_are_that_were_started(repository: Path) -> None:
    job = yaml.safe_load((repository / ".github/workflows/grade.yml").read_text())["jobs"]["grade"]
    step = job["steps"][-1]
    assert step["env"] == {
        "CRUCIBLE_POSTGRES_URL": f"${{{{ job.services.postgres.id && '{IMAGES['postgres'].admin_url}' }}}}",
        "CRUCIBLE_POSTGRES_CONTAINER": "${{ job.services.postgres.id }}",
        "CRUCIBLE_REDIS_URL": f"${{{{ job.services.redis.id && '{IMAGES['redis'].admin_url}' }}}}",
        "CRUCIBLE_REDIS_CONTAINER": "${{ job.services.redis.id }}",
    }
    action = yaml.safe_load((Path(__file__).resolve().parents[2] / "action.yml").read_text())
    assert step["with"].keys() <= action["inputs"].keys()


@pytest.mark.machine
@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ("vendor.github-workflows", ".github/workflows/grade.yml"),
        ("vendor.dependabot", ".github/dependabot.yml"),
        ("vendor.compose-spec", "compose.yaml"),
        ("vendor.compose-spec", ".devcontainer/compose.yaml"),
    ],
)
def test_github_and_docker_would_accept_it(repository: Path, schema: str, name: str) -> None:
    command = [str(TOOLS / "check-jsonschema"), "--builtin-schema", schema, str(repository / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.machine
def test_zizmor_finds_nothing(repository: Path) -> None:
    command = [str(TOOLS / "zizmor"), "--offline", "--persona=auditor", "--no-progress", str(repository)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "No findings to report" in done.stdout


def test_a_pinned_action_needs_no_exception() -> None:
    files = scaffold.render(CHALLENGE, action=PINNED)
    grade, feedback = (files[scaffold.WORKFLOWS / name].decode() for name in ("grade.yml", "feedback.yml"))
    assert grade.count(f"uses: {PINNED}\n") == 2
    assert "zizmor" not in grade
    assert re.findall("zizmor: (.+?)\\]", feedback) == ["ignore[dangerous-triggers"]


@pytest.mark.parametrize("action", [ACTION, PINNED, "o/r/sub/path@feature/x", "o-1/r_2.x@v1.2.3"])
def test_an_action_is_taken_as_it_is(action: str) -> None:
    workflow = yaml.safe_load(scaffold.render(CHALLENGE, action=action)[scaffold.WORKFLOWS / "grade.yml"])
    assert {job["steps"][-1]["uses"] for job in workflow["jobs"].values()} == {action}


@pytest.mark.parametrize("action", HOSTILE)
def test_what_names_no_action_is_refused(action: str, tmp_path: Path) -> None:
    with pytest.raises(CrucibleError, match="does not name an action") as caught:
        scaffold.create(CHALLENGE, tmp_path / "new", action=action)
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_what_tools_leave_behind_is_not_copied(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("kept.py", "dot-kept", "__pycache__/x.pyc", ".venv/bin/x", "starter.yaml"):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    found = [scaffold._renamed(path.relative_to(tree)) for path in scaffold._files_of(tree)]
    assert found == [PurePosixPath(".kept"), PurePosixPath("kept.py")]


@pytest.mark.parametrize(
    ("slug", "lang", "what", "fix"),
    [
        ("rate-limitr", "python", "there is no challenge `rate-limitr`", "did you mean `rate-limiter`?"),
        (
            "../_shared",
            "python",
            "there is no challenge `../_shared`",
            f"use one of: {', '.join(sorted(challenges.folders({})))}",
        ),
        (SLUG, "pyton", "there is no `pyton` starter for rate-limiter", "did you mean `python`?"),
        (SLUG, "cobol", "there is no `cobol` starter for rate-limiter", "use one of: go, node, python"),
        (SLUG, "../hidden", "there is no `../hidden` starter for rate-limiter", "use one of: go, node, python"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(slug: str, lang: str, what: str, fix: str) -> None:
    with pytest.raises(CrucibleError) as caught:
        scaffold.render(challenges.find(slug, {}, where="the command line"), lang=lang)
    assert (caught.value.what, caught.value.exit_code) == (what, 1)
    assert fix.removesuffix("?") in caught.value.fix


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """An author's challenge that an edit can break."""
    return author.new("press-a-button", tmp_path)


def test_a_starter_of_the_challenges_own_replaces_the_shared_one_of_its_language(mine: Path) -> None:
    own = mine / "starters" / "python"
    own.mkdir(parents=True)
    (own / "starter.yaml").write_text("ecosystem: pip\ndevcontainer: image\nbuild: 'true'\nweb: python3 own.py\n")
    (own / "own.py").write_text("own\n")
    files = {str(name): content.decode() for name, content in scaffold.render(challenges.at(mine)).items()}
    assert (files["own.py"], "app.py" in files, "requirements.txt" in files) == ("own\n", False, False)
    assert 'command: "python3 own.py"' in files["crucible.yaml"]
    assert PurePosixPath("server.js") in scaffold.render(challenges.at(mine), lang="node")


@pytest.mark.parametrize(
    ("was", "becomes", "what", "fix"),
    [
        (
            "  GET /v1/value:",
            "  GET /v1/valu:",
            "asks about `GET /v1/valu`, which is no",
            "did you mean `GET /v1/value`?",
        ),
        ("  GET /v1/value:", "  # GET /v1/value:", "has none about `GET /v1/value`", "write down what whoever works"),
    ],
)
def test_each_route_of_the_contract_has_its_question(mine: Path, was: str, becomes: str, what: str, fix: str) -> None:
    path = mine / "challenge.yaml"
    path.write_text(path.read_text().replace(was, becomes))
    with pytest.raises(CrucibleError) as caught:
        scaffold.render(challenges.at(mine))
    assert caught.value.fault is Fault.AUTHOR
    assert what in caught.value.what
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("lang", "name", "clients"),
    [
        ("python", "requirements.txt", ("psycopg", "redis", "aio-pika", "boto3", "aiohttp")),
        ("node", "package.json", ("pg", "ioredis", "amqplib", "@aws-sdk/client-s3")),
        ("go", "go.mod", ("pgx", "go-redis", "amqp091-go", "aws-sdk-go-v2")),
    ],
)
def test_a_starter_names_a_client_for_each_service_that_is_offered(
    mine: Path, lang: str, name: str, clients: tuple[str, ...]
) -> None:
    path = mine / "challenge.yaml"
    cards = "".join(f"  {service}: A card.\n" for service in IMAGES if service != "redis")
    path.write_text(path.read_text().replace("services:\n", f"sink: true\nservices:\n{cards}", 1))
    offered = scaffold.render(challenges.at(mine), lang=lang)[PurePosixPath(name)].decode()
    assert [client for client in clients if client not in offered] == []
    path.write_text(re.sub(r"sink: true\nservices:\n(  .*\n)+", "services: {}\n", path.read_text()))
    bare = scaffold.render(challenges.at(mine), lang=lang)[PurePosixPath(name)].decode()
    assert "ffered" not in bare
    assert not bare.endswith("\n\n")
