"""S3-compatible storage: versitygw, moto's server, and one that is attached to."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import given
from hypothesis import strategies as st
from support.solutions import temporary_folder

from crucible.check import NotCausedError, Stored
from crucible.errors import CrucibleError
from crucible.services import SERVICES, Server, locate
from crucible.services.s3_log import operation

NOWHERE = {"PATH": "", "HOME": ""}
"""An environment in which only what is installed beside Crucible is found."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with temporary_folder() as path:
        yield path


@pytest.fixture(scope="module", params=["versitygw", "moto"])
def store(request: pytest.FixtureRequest, folder: Path) -> Iterator[Server]:
    source = locate("s3", NOWHERE if request.param == "moto" else os.environ)
    if request.param not in source.detail:
        pytest.skip("versitygw is neither on the PATH nor where `go install` puts it")
    server = SERVICES["s3"].start(source, folder / request.param)
    try:
        yield server
    finally:
        server.stop()


def as_solution(server: Server) -> tuple[Any, str]:
    """A client with what a solution is given, and its bucket."""
    env = server.environment("127.0.0.1", server.upstream.port)
    client = boto3.client(
        "s3", endpoint_url=env["AWS_ENDPOINT_URL_S3"], region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5, proxies={}),
    )  # fmt: skip
    return client, env["S3_BUCKET"]


@pytest.mark.machine
def test_it_counts_requests_by_operation_and_what_is_stored(store: Server) -> None:
    client, bucket = as_solution(store)
    before, stored = store.operations(), store.footprint() or 0
    for number in range(4):
        client.put_object(Bucket=bucket, Key=f"a/{number}", Body=b"x" * 1000)
    assert client.get_object(Bucket=bucket, Key="a/1")["Body"].read() == b"x" * 1000
    upload = client.create_multipart_upload(Bucket=bucket, Key="large")["UploadId"]
    tag = client.upload_part(Bucket=bucket, Key="large", UploadId=upload, PartNumber=1, Body=b"y" * 5000)["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
    client.complete_multipart_upload(Bucket=bucket, Key="large", UploadId=upload, MultipartUpload=parts)
    assert len(client.list_objects_v2(Bucket=bucket)["Contents"]) == 5
    client.delete_object(Bucket=bucket, Key="a/0")
    assert store.footprint() == stored + 3 * 1000 + 5000
    after = store.operations()
    assert {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)} == {
        "PutObject": 4, "GetObject": 1, "CreateMultipartUpload": 1, "UploadPart": 1, "CompleteMultipartUpload": 1,
        "ListObjectsV2": 1, "DeleteObject": 1,
    }  # fmt: skip


@pytest.mark.machine
def test_what_it_holds_is_counted_with_the_parts_of_unfinished_uploads(store: Server) -> None:
    client, bucket = as_solution(store)
    before = store.stored()
    assert before is not None
    client.put_object(Bucket=bucket, Key="whole", Body=b"x" * 3000)
    upload = client.create_multipart_upload(Bucket=bucket, Key="begun")["UploadId"]
    client.upload_part(Bucket=bucket, Key="begun", UploadId=upload, PartNumber=1, Body=b"y" * 5000)
    client.create_multipart_upload(Bucket=bucket, Key="nothing-yet")
    assert store.stored() == Stored(before.bytes + 8000, before.items + 3)
    store.wipe()
    assert store.stored() == Stored(0, 0)


@pytest.mark.machine
def test_a_wrong_key_is_refused_by_a_real_server(store: Server) -> None:
    if "moto" in store.version:
        pytest.skip("moto's server takes any key")
    env = store.environment("127.0.0.1", store.upstream.port)
    stranger = boto3.client(
        "s3", endpoint_url=env["AWS_ENDPOINT_URL_S3"], region_name="us-east-1",
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key="guessed",
    )  # fmt: skip
    with pytest.raises(ClientError):
        stranger.list_buckets()


@pytest.mark.machine
def test_a_crash_keeps_what_was_stored_or_says_that_it_cannot_be_caused(store: Server) -> None:
    client, bucket = as_solution(store)
    client.put_object(Bucket=bucket, Key="kept", Body=b"kept")
    if store.source.kind == "embedded":
        with pytest.raises(NotCausedError, match="keeps objects in memory"):
            store.crash()
        assert "in memory" in store.source.words
        return
    store.crash()
    with pytest.raises((BotoCoreError, ClientError)):
        client.head_bucket(Bucket=bucket)
    store.restart()
    assert store.operations() == {}  # it counts from its start
    again, _ = as_solution(store)
    assert again.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"kept"
    assert store.operations() == {"GetObject": 1}


@pytest.mark.machine
def test_attached_it_takes_its_own_away_again(store: Server, folder: Path) -> None:
    env = store.environment("127.0.0.1", store.upstream.port)
    named = f"{env['AWS_ACCESS_KEY_ID']}:{env['AWS_SECRET_ACCESS_KEY']}@127.0.0.1:{store.upstream.port}"
    server = SERVICES["s3"].start(locate("s3", {"CRUCIBLE_S3_URL": f"http://{named}"}), folder / "attached")
    client, bucket = as_solution(server)
    try:
        client.put_object(Bucket=bucket, Key="left", Body=b"left")
        client.create_multipart_upload(Bucket=bucket, Key="begun")
        assert server.footprint() == 4
        assert server.operations() == {}  # nobody can say, without its container's log
        with pytest.raises(NotCausedError):
            server.crash()
    finally:
        server.stop()
    assert bucket not in [it["Name"] for it in client.list_buckets()["Buckets"]]
    assert as_solution(store)[1] in [it["Name"] for it in client.list_buckets()["Buckets"]]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://a:b@127.0.0.1:1", "is not http://ACCESS_KEY"),
        ("http://127.0.0.1:1", "is not http://ACCESS_KEY"),
        ("http://a:b@127.0.0.1:1", "Could not connect"),
    ],
)
def test_an_attached_one_that_cannot_be_used_says_why(url: str, said: str, folder: Path) -> None:
    with pytest.raises(CrucibleError, match=said) as caught:
        SERVICES["s3"].start(locate("s3", {"CRUCIBLE_S3_URL": url}), folder / "none")
    assert caught.value.where == "CRUCIBLE_S3_URL"


@given(st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE"]), st.text())
def test_any_request_has_a_name(verb: str, target: str) -> None:
    assert operation(verb, "/" + target.replace("\n", "")).isalnum()
