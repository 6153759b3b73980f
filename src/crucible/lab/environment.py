"""What builds and solutions have of the grader's own environment, and where builds are kept."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

BUILD_SETTINGS = ("PIP_", "UV_", "NPM_CONFIG_", "npm_config_", "GO", "CARGO_", "RUSTUP_", "NODE_EXTRA_CA_CERTS",
                  "SSL_CERT_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
                  "http_proxy", "https_proxy", "no_proxy", "JAVA_HOME", "LANG")  # fmt: skip
"""Prefixes of the variables that a build keeps: where packages come from, and whom to trust for them."""
SECRET_WORDS = ("TOKEN", "PASSWORD", "PASSPHRASE", "SECRET", "_AUTH", "CREDENTIAL", "USERNAME", "_KEY")
USER_IN_URL = re.compile(r"://[^/\s]*@|(^|[\s,])[^/\s,]*:[^/\s,]*@")
"""A URL with a user in it, anywhere in a list of them; a proxy's may lack the scheme."""


def cache_folder(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "/tmp")) / ".cache")  # noqa: S108
    return Path(base) / "crucible"


def search_path(environ: Mapping[str, str]) -> str:
    """The PATH for the solution: the grader's, without the virtual environment that the grader itself runs in."""
    own = str(Path(sys.prefix) / "bin") if sys.prefix != sys.base_prefix else None
    return ":".join(part for part in environ.get("PATH", os.defpath).split(":") if part and part != own)


def build_environment(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """PATH and HOME, and the package managers' own settings without credentials."""
    kept = {
        name: value
        for name, value in environ.items()
        if name.startswith(BUILD_SETTINGS)
        and not any(word in name.upper() for word in SECRET_WORDS)
        and not USER_IN_URL.search(value)
    }
    toolchains = Path(environ.get("HOME", "/nonexistent")) / ".rustup"  # rustup looks for them in HOME, which changes
    found = {"RUSTUP_HOME": str(toolchains)} if toolchains.is_dir() else {}
    return found | kept | {"PATH": search_path(environ), "HOME": str(home), "TMPDIR": str(home / "tmp")}


def with_project(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """`env`, in which programs that a project has of its own come first, and its package managers keep to its folder:
    a project is built and started as its community writes it, whether or not the system's Python may be written to."""
    own = [str(folder / ".venv" / "bin"), str(folder / "node_modules" / ".bin")]
    kept = {"POETRY_VIRTUALENVS_IN_PROJECT": "true", "BUNDLE_PATH": "vendor/bundle"}
    return {**kept, **env, "PATH": ":".join([*own, env["PATH"]])}


def build_folders(environ: Mapping[str, str]) -> tuple[Path, Path]:
    """Where built trees are kept, and the home folder of builds, with the package managers' caches; made if need be."""
    builds = cache_folder(environ) / "builds"
    home = cache_folder(environ) / "home"
    for path in (builds, home / "tmp"):
        path.mkdir(parents=True, exist_ok=True)
    if builds.stat().st_uid == os.geteuid():
        builds.chmod(0o711)  # nobody but who knows a build's name finds it
    return builds, home


def tools(environ: Mapping[str, str]) -> list[Path]:
    """The folders that hold the programs which builds and solutions use."""
    named = [value for value in build_environment(environ, Path("/")).values() if value.startswith("/")]
    return [Path(part) for part in [*search_path(environ).split(":"), *named] if part != "/" and Path(part).is_dir()]
