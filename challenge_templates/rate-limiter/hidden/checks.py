"""What a rate limiter must show: the scenarios that observe one, and the checks that judge what they recorded."""

from crucible.check import Check, Scenario, Suite

from .changes import changes, judge_changes
from .contact import contact
from .deserved import judge_refusals, skew
from .edges import edges, judge_peak
from .hints import hints, judge_hints
from .hostile import bad_input, judge_bad_input
from .neighbours import judge_neighbours, neighbours
from .old_keys import judge_old_keys, old_keys
from .outage import outage
from .overload import judge_overload, overload
from .races import judge_cost, judge_tries, race
from .restart import judge_blocked, restart
from .survival import judge_survival, unharmed
from .usage import judge_usage, usage
from .word import judge_word

# `neighbours` comes before `race` and has the solution to itself: what a counter shared by all keys still holds of a
# short window would otherwise run out somewhere in the middle of it, now sooner and now later.
SUITE = Suite(
    scenarios=(
        Scenario("contact", "contact", contact, budget_s=30, estimate_s=0.2),
        Scenario("neighbours", "race", neighbours, budget_s=30, estimate_s=2.5),
        Scenario("race", "race", race, budget_s=90, estimate_s=5),
        Scenario("overload", "steady", overload, budget_s=25, estimate_s=11),
        Scenario("skew", "steady", skew, budget_s=25, estimate_s=9),
        Scenario("edges", "steady", edges, budget_s=25, estimate_s=8),
        Scenario("hints", "steady", hints, budget_s=40, estimate_s=9),
        Scenario("changes", "steady", changes, budget_s=25, estimate_s=9),
        Scenario("usage", "steady", usage, budget_s=25, estimate_s=9),
        Scenario("old-keys", "steady", old_keys, budget_s=400, estimate_s=18),
        Scenario("unharmed", "steady", unharmed, budget_s=25, estimate_s=7),
        Scenario("bad-input", "fault", bad_input, budget_s=45, estimate_s=9),
        Scenario("restart", "fault", restart, budget_s=60, estimate_s=6),
        Scenario("outage", "fault", outage, budget_s=120, estimate_s=12),
    ),
    checks=(
        Check(
            "RL-1", "bounded-in-any-window",
            "In any window of time about the limit is allowed, wherever that window begins.",
            "How much can get through in the second that lies half before and half after a window's edge?",
            True, ("overload", "edges"), judge_peak, ("peak_ratio",),
        ),
        Check(
            "RL-2", "refusals-are-deserved",
            "A request is refused only where the limit has been used up in the window before it.",
            "What does a caller who keeps knocking have to do with what he has been allowed?",
            True, ("overload", "skew"), judge_refusals,
            ("wrong_refusals_ratio", "wrong_refusals_one_replica_ratio"),
        ),
        Check(
            "RL-3", "holds-in-a-race",
            "However many requests for one key arrive at once, about the limit is allowed and no more.",
            "Between reading how much is used and writing the new value, what can another request do?",
            True, ("race",), judge_tries, ("peak_ratio",),
        ),
        Check(
            "RL-4", "cost-is-atomic",
            "A cost is consumed whole or not at all.",
            "When a request asks for more than is left, what has already been counted by the time it is refused?",
            True, ("race",), judge_cost,
            explained_by=("RL-3",),
        ),
        Check(
            "RL-5", "retry-after-is-true",
            "Who waits as long as a refusal says is allowed, and need not wait longer than the window has left.",
            "Which of the units that fill the window leaves it first, and when?",
            True, ("hints",), judge_hints,
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
            False, ("overload",), judge_overload, ("long_run_ratio", "peak_ratio", "wrong_refusals_ratio"),
            explained_by=("RL-2",),
        ),
        Check(
            "RL-8", "limit-change-applies",
            "A changed limit holds on every replica within a second.",
            "Where does a replica look a limit up, and how old may what it finds there be?",
            True, ("changes",), judge_changes,
        ),
        Check(
            "RL-9", "survives-restart",
            "A crash gives nobody more than the limit.",
            "What does the count of a running window rest on, and what is left of that after a crash?",
            False, ("restart", "outage", "unharmed"), judge_survival,
            ("window_lost_app_units", "window_lost_store_units"),
        ),
        Check(
            "RL-10", "keeps-its-word-in-an-outage",
            "While a service is away every request gets an answer in time, and the one that was declared.",
            "How long does a request wait for a service that does not answer, and what is said to the caller then?",
            True, ("outage",), judge_word,
            ("outage_answered_ratio", "outage_latency_p99_ms", "outage_peak_ratio", "recovery_s"),
        ),
        Check(
            "RL-11", "forgets-old-keys",
            "What a key took is free again when its window is over.",
            "Who removes what a caller left behind that never comes back?",
            True, ("old-keys",), judge_old_keys, ("bytes_per_key",),
        ),
        Check(
            "RL-12", "usage-is-true",
            "Usage is what was allowed in the window, whichever replica is asked.",
            "When a replica is asked for usage, what has it not seen itself?",
            True, ("usage", "overload", "edges"), judge_usage,
            explained_by=("RL-3", "RL-4", "RL-13"),
        ),
        Check(
            "RL-13", "bad-input-is-refused",
            "A malformed request is refused, changes nothing and harms no process.",
            "What is the first thing that your code assumes about a body, and what happens when that is not so?",
            True, ("bad-input",), judge_bad_input,
        ),
        Check(
            "RL-14", "no-key-stays-blocked",
            "Whatever moment a process dies at, a key lets its caller through again when the window is over.",
            "If a process ends between two of its steps, who does the second?",
            True, ("restart",), judge_blocked,
        ),
    ),
)  # fmt: skip
