"""Plain Locust, as its manual has it: users who wait for their answers, paced by `constant_throughput`.

For `locust -f plain_locust.py Requests|Fast`; PER_USER in the environment says how often a second each user sends.
"""

import os
from itertools import count

from locust import FastHttpUser, HttpUser, constant_throughput, task

PER_USER = float(os.environ.get("PER_USER", "1"))
NUMBERS = count()


class Requests(HttpUser):
    wait_time = constant_throughput(PER_USER)

    @task
    def check(self) -> None:
        self.client.post("/v1/check", json={"key": f"load-{next(NUMBERS) % 1000}", "cost": 1})


class Fast(FastHttpUser):
    wait_time = constant_throughput(PER_USER)

    @task
    def check(self) -> None:
        self.client.post("/v1/check", json={"key": f"load-{next(NUMBERS) % 1000}", "cost": 1})
