"""Ids that follow from keys, so that the same key is the same notification on every replica.

They are signed, so that an id which nobody was given is known for one without asking anybody.
"""

import hashlib
import hmac
import os

SECRET = hashlib.sha256(os.environ["AMQP_URL"].rpartition("/")[2].encode()).digest()
"""All replicas have it, and no caller."""


def id_of(key: str) -> str:
    name = hashlib.sha256(key.encode()).hexdigest()[:20]
    return name + _signature(name)


def is_ours(notification_id: str) -> bool:
    name, signature = notification_id[:20], notification_id[20:]
    return hmac.compare_digest(signature.encode(), _signature(name).encode())


def _signature(name: str) -> str:
    return hmac.new(SECRET, name.encode(), "sha256").hexdigest()[:12]
