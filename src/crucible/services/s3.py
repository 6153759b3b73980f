"""S3-compatible storage: `versitygw` from the PATH, attached, or at last `moto`'s server, which keeps nothing.

A solution gets a bucket, and the credentials that the whole server goes by: it is there for one grade alone.
"""

import os
import re
import secrets
import subprocess
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from crucible.check import NotCausedError, Stored
from crucible.errors import CrucibleError, Fault
from crucible.processes.child import Child, wait_until
from crucible.processes.ports import free_port
from crucible.services import container
from crucible.services.base import (
    USUAL,
    Server,
    Service,
    Source,
    Terms,
    Upstream,
    attached,
    clients_of,
    on_path,
    own,
    reachable,
)
from crucible.services.s3_log import asked_of_moto, asked_of_versity

START_S = 20.0
PORT = 7070
REGION = "us-east-1"
MODULE = "github.com/versity/versitygw/cmd/versitygw"


def _locate(environ: Mapping[str, str]) -> Source | None:
    if named := attached(environ, "s3", PORT):
        return named
    if found := on_path(("versitygw",), {"PATH": ":".join([environ.get("PATH", ""), *_go_folders(environ)])}):
        return Source("path", found, found)
    return None


def _locate_last(environ: Mapping[str, str]) -> Source | None:
    if find_spec("moto") and find_spec("flask_cors"):  # found, not imported
        what = f"moto {version('moto')}, which keeps objects in memory"
        return Source("embedded", what, "moto.server", stands_in=True)
    return None


def _go_folders(environ: Mapping[str, str]) -> list[str]:
    """Where `go install` puts programs, which need not be on the PATH (https://go.dev/ref/mod#go-install)."""
    if named := environ.get("GOBIN"):
        return [named]
    home = environ.get("GOPATH") or (f"{environ['HOME']}/go" if environ.get("HOME") else "")
    return [f"{folder}/bin" for folder in home.split(os.pathsep) if folder]


def _start(source: Source, folder: Path, terms: Terms = USUAL) -> Server:
    if source.has_url:
        return _Attached(source)
    return _Moto(source, folder) if source.kind == "embedded" else _Versity(source, folder)


class _S3:
    """What all of them have in common."""

    name = "s3"
    source: Source
    upstream: Upstream
    pid: int | None = None
    ports: tuple[int, ...]
    _keys: tuple[str, str]
    _bucket: str
    _own: Counter[str]
    """What the grader asked itself."""
    _logged = 0
    """Characters of the log that tell of the time before the last crash."""

    def environment(self, host: str, port: int) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": self._keys[0],
            "AWS_SECRET_ACCESS_KEY": self._keys[1],
            "AWS_REGION": REGION,
            "S3_BUCKET": self._bucket,
        }

    def pinger(self, host: str, port: int) -> Callable[[], object]:
        client = self._client(host, port)

        def ping() -> object:
            return client.head_bucket(Bucket=self._bucket)

        weakref.finalize(ping, client.close)
        return ping

    def operations(self) -> dict[str, int]:
        return dict(Counter(self._asked(self._log()[self._logged :])) - self._own)

    def clients(self) -> list[int]:
        return clients_of(self.upstream.port)

    def footprint(self) -> int:
        return sum(self._sizes(self._client()))

    def _sizes(self, client: Any) -> list[int]:
        """Of every object."""
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket)
        return [int(it.get("Size", 0)) for page in pages for it in page.get("Contents", [])]

    def stored(self) -> Stored:
        """Objects, and what unfinished multipart uploads hold: to a bill they are the same."""
        client = self._client()
        sizes = self._sizes(client)
        for key, upload in self._unfinished(client):
            pages = client.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=upload)
            sizes += [sum(int(it.get("Size", 0)) for page in pages for it in page.get("Parts", []))]
        return Stored(sum(sizes), len(sizes))

    def _unfinished(self, client: Any) -> list[tuple[str, str]]:
        """The multipart uploads that were neither completed nor aborted, by key and id."""
        pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket)
        return [(upload["Key"], upload["UploadId"]) for page in pages for upload in page.get("Uploads", [])]

    def _make_bucket(self) -> None:
        self._bucket = f"crucible-{secrets.token_hex(4)}"
        self._client().create_bucket(Bucket=self._bucket)

    def wipe(self) -> None:
        client = self._client()
        for key, upload in self._unfinished(client):
            client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
        for listed in client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket):
            for stored in listed.get("Contents", []):
                client.delete_object(Bucket=self._bucket, Key=stored["Key"])

    def _answers(self) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client().list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True

    def _crashed(self) -> None:
        self._logged = len(self._log())
        self._own.clear()

    def _log(self) -> str:
        """What the server wrote about the requests that it had."""
        raise NotImplementedError

    def _asked(self, log: str) -> list[str]:
        """The operation of each request in `log`, by its name in the API."""
        return asked_of_versity(log)

    def _client(self, host: str = "", port: int = 0) -> Any:
        import boto3
        from botocore.config import Config

        address = f"{host}:{port}" if host else f"{self.upstream.host}:{self.upstream.port}"
        client = boto3.client(
            "s3", endpoint_url=f"http://{address}", region_name=REGION,
            aws_access_key_id=self._keys[0], aws_secret_access_key=self._keys[1],
            config=Config(
                connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 1}, proxies={},
                s3={"addressing_style": "path"},
            ),
        )  # fmt: skip
        client.meta.events.register("before-call.s3", self._count)
        return client

    def _count(self, model: Any, **_: object) -> None:
        self._own[model.name] += 1


class _Started(_S3):
    _child: Child | None = None

    def __init__(self, source: Source, folder: Path) -> None:
        own(folder)
        self.source = source
        self.upstream = Upstream(host="127.0.0.1", port=free_port())
        self.ports = (self.upstream.port,)
        self._keys = (secrets.token_hex(10), secrets.token_urlsafe(24))
        self._folder = folder
        self._own = Counter()
        try:
            self.restart()
            self._make_bucket()
        except BaseException:
            self.stop()
            raise

    def restart(self) -> None:
        self._child = self._run()
        self.pid = self._child.pid
        wait_until(self._answers, START_S, self._child, self.source.detail)

    def _run(self) -> Child:
        raise NotImplementedError

    def stop(self) -> None:
        if self._child is not None:
            self._child.kill()


class _Versity(_Started):
    """On a folder; what it must remember of each object is in another, since not every file system can hold it."""

    _program: Path | None = None

    @property
    def version(self) -> str:
        said = subprocess.run(
            [self.source.location, "--version"], capture_output=True, text=True, timeout=5, check=False
        )
        found = re.search(r"Version *: *(\S+)", said.stdout)
        return f"versitygw {found[1]}" if found else "versitygw"

    def _run(self) -> Child:
        for name in ("objects", "metadata"):
            own(self._folder / name)
        if self._program is None:
            binary = Path(self.source.location).resolve()
            self._program = reachable(binary.parent, [binary.name], self._folder) / binary.name
        return Child.start(
            [
                str(self._program), "--port", f"127.0.0.1:{self.upstream.port}", "--region", REGION, "--keep-alive",
                "--quiet", "--access-log", str(self._folder / "requests.log"),
                "posix", "--sidecar", str(self._folder / "metadata"), str(self._folder / "objects"),
            ],
            cwd=self._folder, log=self._folder / "server.log", as_server=True,
            env={"ROOT_ACCESS_KEY": self._keys[0], "ROOT_SECRET_KEY": self._keys[1], "HOME": str(self._folder)},
        )  # fmt: skip

    def _log(self) -> str:
        return (self._folder / "requests.log").read_text(errors="replace")

    def crash(self) -> None:
        self.stop()
        self.pid = None
        self._crashed()


class _Moto(_Started):
    """A simulation of S3 in memory: what it answers is right, and a crash would lose it all, which S3 does not do."""

    @property
    def version(self) -> str:
        return f"moto {version('moto')}"

    def _run(self) -> Child:
        return Child.start(
            [sys.executable, "-P", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.upstream.port)],
            cwd=self._folder, log=self._folder / "server.log", env={"HOME": str(self._folder), "PATH": ""},
        )  # fmt: skip

    def _log(self) -> str:
        return (self._folder / "server.log").read_text(errors="replace")

    def _asked(self, log: str) -> list[str]:
        return asked_of_moto(log)

    def crash(self) -> None:
        raise NotCausedError("moto's server keeps objects in memory, which a crash would lose; S3 keeps them")


class _Attached(_S3):
    def __init__(self, source: Source) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        parts = urlsplit(source.location)
        self.source = source
        self.pid = container.pid(source)
        self._own = Counter()
        if parts.scheme != "http" or not parts.hostname or not parts.username or not parts.password:
            raise _unusable(source, "its URL is not http://ACCESS_KEY:SECRET_KEY@HOST:PORT")
        self.upstream = Upstream(host=parts.hostname, port=parts.port or PORT)
        self.ports = (self.upstream.port, PORT)
        self._keys = (unquote(parts.username), unquote(parts.password))
        try:
            self._make_bucket()
        except (BotoCoreError, ClientError) as error:
            raise _unusable(source, str(error)) from error

    @property
    def version(self) -> str:
        import requests

        with suppress(requests.RequestException):
            named = requests.get(f"http://{self.upstream.host}:{self.upstream.port}/", timeout=5).headers.get("Server")
            if named:
                return named
        return "S3-compatible storage"

    def _log(self) -> str:
        return container.logs(self.source)

    def crash(self) -> None:
        container.kill(self.source)
        self.pid = None
        self._crashed()

    def restart(self) -> None:
        self.pid = container.start(self.source)
        wait_until(self._answers, START_S, None, "the S3 server")

    def stop(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        with suppress(BotoCoreError, ClientError):  # a server that is gone keeps nothing
            self.wipe()
            self._client().delete_bucket(Bucket=self._bucket)


def _unusable(source: Source, what: str) -> CrucibleError:
    return CrucibleError(
        f"the S3 server at {source.detail} cannot be used: {what}",
        where="CRUCIBLE_S3_URL",
        fix="set it to http://ACCESS_KEY:SECRET_KEY@HOST:PORT of a server whose user may make buckets, or unset it",
        fault=Fault.CRUCIBLE,
    )


SERVICE = Service(
    name="s3",
    title="S3-compatible storage",
    port=PORT,
    locate=_locate,
    start=_start,
    how_to_get="install versitygw, or `pip install 'moto[s3]' flask-cors` (`crucible services install` does one), or "
    "set CRUCIBLE_S3_URL=http://ACCESS_KEY:SECRET_KEY@HOST:PORT",
    packages={"brew": "versitygw", "go": f"{MODULE}@v1.8.0", "pip": "moto[s3] flask-cors"},
    locate_last=_locate_last,
    far=5,
)
