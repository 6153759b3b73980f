"""GitHub's API, through PyGithub: the one place that makes clients of it and says what its refusals mean."""

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from github import Auth, Github, GithubException, GithubRetry, RateLimitExceededException
from urllib3 import BaseHTTPResponse

from crucible.errors import CrucibleError, Fault

API = "https://api.github.com"
LONGEST_WAIT_S = 120.0
"""For a rate limit to end; beyond it the call fails, with the reason."""
BETWEEN_REQUESTS_S, BETWEEN_WRITES_S = 0.1, 1.0
"""What GitHub's advice on its limits comes to."""
_MEANING = {
    401: ("the token is not valid", "give one that is, in GH_TOKEN, or log in with `gh auth login`"),
    403: ("the token may not do that", "give the token, or the job, the permission that is named in the README"),
    404: ("there is no such thing, or the token may not see it", "look at the name, and at what the token may read"),
    422: ("GitHub does not accept it", "look at the name and the values"),
    429: ("there were too many requests", "try again later"),
}


class Patient(GithubRetry):
    """Waits as long as GitHub asks, but not beyond the most that it may: PyGithub itself caps all but `Retry-After`."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        seconds = super().get_retry_after(response)
        if seconds is not None and self.max_rate_limit_wait is not None and seconds > self.max_rate_limit_wait:
            said = {"message": f"GitHub asks to wait for {seconds:.0f} s"}
            raise RateLimitExceededException(response.status, said, dict(response.headers))
        return seconds


def client(token: str, url: str = API, *, lazy: bool = False) -> Github:
    """A client that waits for rate limits as GitHub asks, for as long as `LONGEST_WAIT_S`, and tries again.

    `lazy`: things are not looked up before something is asked of them.
    """
    retry = Patient(total=4, secondary_rate_wait=30, max_rate_limit_wait=LONGEST_WAIT_S)
    return Github(auth=Auth.Token(token), base_url=url, per_page=100, timeout=30, retry=retry, lazy=lazy,
                  seconds_between_requests=BETWEEN_REQUESTS_S, seconds_between_writes=BETWEEN_WRITES_S)  # fmt: skip


@contextmanager
def explained(where: str) -> Iterator[None]:
    """A refusal, or no answer, becomes a CrucibleError that says what it means."""
    try:
        yield
    except GithubException as error:
        what, fix = _MEANING.get(error.status, (f"GitHub answered with {error.status}", "try again later"))
        said = error.message or (error.data.get("message") if isinstance(error.data, dict) else None)
        raise CrucibleError(
            f"{what} ({error.status}: {said})" if said else f"{what} ({error.status})",
            where=where, fix=fix, fault=Fault.LEARNER,
        ) from error  # fmt: skip
    except requests.RequestException as error:
        raise CrucibleError(
            f"GitHub's API gave no answer: {type(error).__name__}",
            where=where, fix="try again later", fault=Fault.LEARNER,
        ) from error  # fmt: skip
