"""What a rate limiter must show: the scenarios that observe one, and the checks that judge what they recorded."""

from functools import partial

from crucible.check import Check, Scenario, Suite

from .hostile import bad_input, judge_bad_input
from .races import judge_cost, judge_tries, race
from .steady import contact, judge_neighbours, judge_overload, neighbours, overload

# `neighbours` comes before `race` and has the solution to itself: what a counter shared by all keys still holds of a
# short window would otherwise run out somewhere in the middle of it, now sooner and now later.
SUITE = Suite(
    scenarios=(
        Scenario("contact", "contact", contact, budget_s=30, estimate_s=0.2),
        Scenario("neighbours", "race", neighbours, budget_s=30, estimate_s=2.5),
        Scenario("race", "race", race, budget_s=90, estimate_s=5),
        Scenario("overload", "steady", overload, budget_s=25, estimate_s=11),
        Scenario("bad-input", "fault", bad_input, budget_s=45, estimate_s=3),
    ),
    checks=(
        Check(
            "RL-3", "holds-in-a-race",
            "However many requests for one key arrive at once, about the limit is allowed and no more.",
            "Between reading how much is used and writing the new value, what can another request do?",
            True, ("race",), partial(judge_tries, race="race"),
        ),
        Check(
            "RL-4", "cost-is-atomic",
            "A cost is consumed whole or not at all.",
            "When a request asks for more than is left, what has already been counted by the time it is refused?",
            True, ("race",), judge_cost,
        ),
        Check(
            "RL-6", "keys-are-independent",
            "A key that is full takes nothing from any other key.",
            "Which characters of a key, and how many of them, decide where it is counted?",
            True, ("neighbours",), judge_neighbours,
        ),
        Check(
            "RL-7", "replicas-agree",
            "Under a steady overload spread over all replicas nearly every request gets an answer that is right.",
            "When the same key reaches another replica, what does that replica know of what was allowed elsewhere?",
            False, ("overload",), judge_overload,
        ),
        Check(
            "RL-13", "bad-input-is-refused",
            "A malformed request is refused, changes nothing and harms no process.",
            "What is the first thing that your code assumes about a body, and what happens when that is not so?",
            True, ("bad-input",), judge_bad_input,
        ),
    ),
)  # fmt: skip
