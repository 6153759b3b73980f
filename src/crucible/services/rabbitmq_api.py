"""What is asked of RabbitMQ itself: its management API, and its metrics, as Prometheus reads them."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crucible.errors import CrucibleError, Fault

if TYPE_CHECKING:
    import requests

COUNTED = {
    "rabbitmq_queues_created_total": "queues",
    "rabbitmq_global_messages_received_total": "published",
    "rabbitmq_global_messages_confirmed_total": "confirmed",
    "rabbitmq_global_messages_delivered_total": "delivered",
    "rabbitmq_global_messages_redelivered_total": "redelivered",
    "rabbitmq_global_messages_acknowledged_total": "acknowledged",
    "rabbitmq_global_messages_unroutable_returned_total": "returned",
    "rabbitmq_global_messages_unroutable_dropped_total": "dropped",
}
"""The names of its metrics, and ours."""
GAUGES = {"rabbitmq_queue_messages_bytes", "rabbitmq_connections"}
METRIC = re.compile(r"^(\w+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
"""A line of the text format of Prometheus, such as `name{label="value"} 12`."""


class Api:
    """Of one broker."""

    def __init__(self, management: str, metrics: str, admin: tuple[str, str]) -> None:
        """The URLs of the two, and an administrator's name and password."""
        self.admin = admin
        self._management = management
        self._metrics = metrics
        self._session: requests.Session | None = None

    def operations(self) -> dict[str, int]:
        """Its own counts, by our names."""
        said = self.counts()
        return {ours: said[theirs] for theirs, ours in COUNTED.items() if theirs in said}

    def counts(self) -> Counter[str]:
        """Its metrics by name, over all their labels."""
        import requests

        text = requests.get(self._metrics, timeout=5.0).text
        found: Counter[str] = Counter()
        for name, value in METRIC.findall(text):
            if name in COUNTED or name in GAUGES:
                found[name] += int(float(value))
        return found

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Ask the management API. Raises requests' errors, and a CrucibleError for an answer that is an error."""
        import requests

        if self._session is None:
            self._session = requests.Session()
            self._session.trust_env = False  # no proxy, no .netrc
            self._session.auth = self.admin
        answer = self._session.request(method, f"{self._management}/api{path}", json=body, timeout=5.0)
        if not answer.ok:
            raise CrucibleError(
                f"RabbitMQ's management API answered {answer.status_code} to {method} {path}", where=self._management,
                fix="see its log; a user of the tag `administrator` is needed", fault=Fault.CRUCIBLE,
                excerpt=answer.text[:500],
            )  # fmt: skip
        return answer.json() if answer.content else {}
