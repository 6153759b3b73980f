"""Signatures of requests to S3 (AWS Signature Version 4), made here: it takes no round trip to sign.

An SDK would add checksums of its own to what it signs, which browsers, curl and other stores than Amazon's do not send.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
OF_NOTHING = hashlib.sha256().hexdigest()


class Signer:
    """For one bucket, addressed by its path."""

    def __init__(self) -> None:
        self.endpoint = os.environ["AWS_ENDPOINT_URL_S3"].rstrip("/")
        self._host = urlsplit(self.endpoint).netloc
        self._base = f"{urlsplit(self.endpoint).path}/{os.environ['S3_BUCKET']}"
        self._id = os.environ["AWS_ACCESS_KEY_ID"]
        self._secret = os.environ["AWS_SECRET_ACCESS_KEY"]
        self._region = os.environ.get("AWS_REGION", "us-east-1")

    def url_of(self, key: str) -> str:
        return f"{self.endpoint}{self._path(key)}"

    def headers(self, method: str, key: str, given: Mapping[str, str], payload: str = OF_NOTHING) -> dict[str, str]:
        """The given headers, which are signed, and those that sign them. `payload` is the SHA-256 of the body, and the
        store refuses another body than that."""
        moment = _now()
        every = {**given, "x-amz-content-sha256": payload, "x-amz-date": moment}
        names, signature = self._sign(method, key, {}, every, payload, moment)
        authorization = f"{ALGORITHM} Credential={self._id}/{self._scope(moment)}, SignedHeaders={names}"
        return {**every, "Authorization": f"{authorization}, Signature={signature}"}

    def url(
        self, method: str, key: str, lasts_s: int, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> str:  # fmt: skip
        """A URL with which anybody can send this one request, with these headers, for so long."""
        moment = _now()
        every = {
            **query, "X-Amz-Algorithm": ALGORITHM, "X-Amz-Credential": f"{self._id}/{self._scope(moment)}",
            "X-Amz-Date": moment, "X-Amz-Expires": str(lasts_s),
            "X-Amz-SignedHeaders": ";".join(sorted(["host", *(name.lower() for name in headers)])),
        }  # fmt: skip
        _, signature = self._sign(method, key, every, headers, UNSIGNED, moment)
        return f"{self.url_of(key)}?{_query(every)}&X-Amz-Signature={signature}"

    def _sign(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str], payload: str, moment: str
    ) -> tuple[str, str]:
        """The names of what is signed, and the signature."""
        signed = sorted({**{name.lower(): value for name, value in headers.items()}, "host": self._host}.items())
        names = ";".join(name for name, _ in signed)
        lines = "".join(f"{name}:{value}\n" for name, value in signed)
        request = f"{method}\n{self._path(key)}\n{_query(query)}\n{lines}\n{names}\n{payload}"
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"{ALGORITHM}\n{moment}\n{self._scope(moment)}\n{digest}"
        return names, _mac(_key(self._secret, moment[:8], self._region), text).hex()

    def _path(self, key: str) -> str:
        return f"{self._base}/{key}"

    def _scope(self, moment: str) -> str:
        return f"{moment[:8]}/{self._region}/s3/aws4_request"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def _query(query: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(query.items()))


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


@lru_cache(maxsize=2)
def _key(secret: str, day: str, region: str) -> bytes:
    return _mac(_mac(_mac(_mac(f"AWS4{secret}".encode(), day), region), "s3"), "aws4_request")
