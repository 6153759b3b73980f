"""What S3 servers write about the requests that they had: the operation of each, by its name in the API."""

import re
from urllib.parse import parse_qs, urlsplit

VERSITY = re.compile(r"^\S+ \S+ \[[^]]*\] \S+ \S+ \S+ s3_(\w+) ", re.MULTILINE)
"""A line of versitygw's access log, which names the operation."""
OTHERWISE = {"ListAllMyBuckets": "ListBuckets"}
"""Names of its that are not the API's."""
MOTO = re.compile(r'"(?:\x1b\[[\d;]*m)*(GET|HEAD|PUT|POST|DELETE) (\S+) HTTP/', re.MULTILINE)
"""A line of the log of moto's server, which names the request."""


def asked_of_versity(log: str) -> list[str]:
    return [OTHERWISE.get(name, name) for name in VERSITY.findall(log)]


def asked_of_moto(log: str) -> list[str]:
    return [operation(verb, target) for verb, target in MOTO.findall(log)]


def operation(verb: str, target: str) -> str:
    """The name of an operation by its request (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html).

    A copy is a PutObject here, since only a header tells it apart; it costs the same.
    """
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    _, _, key = parts.path.lstrip("/").partition("/")
    if "uploads" in query:
        return "CreateMultipartUpload" if verb == "POST" else "ListMultipartUploads"
    if "uploadId" in query:
        named = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}
        return named.get(verb, "ListParts")
    if key:
        return {"POST": "PostObject"}.get(verb, f"{verb.capitalize()}Object")
    if verb == "GET" and parts.path.strip("/"):
        return "ListObjectsV2" if "list-type" in query else "ListObjects"
    if verb == "POST" and "delete" in query:
        return "DeleteObjects"
    return {"GET": "ListBuckets", "PUT": "CreateBucket"}.get(verb, f"{verb.capitalize()}Bucket")
