"""What a notification service must show: the scenarios that observe one, and the checks that judge what is recorded."""

from crucible.check import Check, Scenario, Suite

from .arrivals import judge_doubled, judge_lost, judge_phantoms, judge_states
from .crashes import crashes
from .errors import errors, judge_polite
from .hostile import bad_input, judge_bad_input
from .isolation import isolation, judge_isolation, judge_poison, judge_priority, priority
from .later import judge_later, judge_withdrawn, later, withdrawn
from .line import contact, line
from .races import judge_retries, retries
from .survival import judge_crashes

SCENARIOS = (
    Scenario("contact", "contact", contact, budget_s=100, estimate_s=0.4),
    Scenario("retries", "race", retries, budget_s=100, estimate_s=3),
    Scenario("later", "race", later, budget_s=60, estimate_s=5),
    Scenario("line", "steady", line, budget_s=220, estimate_s=14),
    Scenario("withdrawn", "steady", withdrawn, budget_s=60, estimate_s=7),
    Scenario("errors", "fault", errors, budget_s=120, estimate_s=8),
    Scenario("priority", "fault", priority, budget_s=120, estimate_s=5),
    Scenario("isolation", "fault", isolation, budget_s=300, estimate_s=13),
    Scenario("crashes", "fault", crashes, budget_s=300, estimate_s=22),
    Scenario("bad-input", "fault", bad_input, budget_s=60, estimate_s=1),
)
EVERYTHING = tuple(scenario.id for scenario in SCENARIOS)

SUITE = Suite(
    scenarios=SCENARIOS,
    checks=(
        Check(
            "NT-1", "none-is-lost",
            "Every notification that was accepted arrives, unless it was taken back or can never be delivered.",
            "Between the moment that you say yes and the moment that it arrives, where is a notification kept?",
            True, ("contact", "line", "errors"), judge_lost, ("effect_p50_ms", "effect_p99_ms", "drain_s"),
        ),
        Check(
            "NT-2", "none-is-doubled",
            "No notification arrives twice without an excuse.",
            "When an answer does not come, how does the provider know that your next call means the same?",
            True, EVERYTHING, judge_doubled, ("unjustified_doubles",),
            explained_by=("NT-4",),
        ),
        Check(
            "NT-3", "no-phantoms",
            "Nothing arrives that was not accepted.",
            "What has already been set in motion when you say no?",
            True, EVERYTHING, judge_phantoms,
        ),
        Check(
            "NT-4", "retry-is-safe",
            "The same Idempotency-Key is the same notification, whichever replica it reaches and whenever.",
            "When two replicas see a key for the first time at the same moment, which of them decides?",
            True, ("retries",), judge_retries,
        ),
        Check(
            "NT-5", "state-is-honest",
            "What a notification's state says is so, on every replica.",
            "What do you know at the moment that you write `sent` down?",
            True, ("line", "isolation", "errors", "crashes"), judge_states,
            explained_by=("NT-1", "NT-12"),
        ),
        Check(
            "NT-6", "cancel-and-opt-out-hold",
            "What was taken back is not begun any more, two seconds later, wherever it waits.",
            "Who asks what a user wants, and how long ago was that when the call is made?",
            True, ("later", "withdrawn"), judge_withdrawn,
            explained_by=("NT-1",),
        ),
        Check(
            "NT-7", "polite-to-providers",
            "A provider that asks for patience is left in peace, and what fails is tried at growing distances.",
            "If a provider is down for an hour, how often do you call it for one notification?",
            False, ("errors",), judge_polite,
        ),
        Check(
            "NT-8", "poison-is-isolated",
            "What can never be delivered holds up nothing else.",
            "What does a worker do with the next notification while the one before it fails?",
            False, ("line", "isolation"), judge_poison,
            explained_by=("NT-1", "NT-10"),
        ),
        Check(
            "NT-9", "priority-matters",
            "What is urgent does not wait behind what is not.",
            "When an urgent notification comes, how many others have already been promised to a worker?",
            False, ("priority",), judge_priority, ("priority_ratio",),
            explained_by=("NT-1",),
        ),
        Check(
            "NT-10", "channels-are-isolated",
            "A channel that hangs holds up no other.",
            "How many of your workers can one provider keep waiting at once?",
            False, ("line", "isolation"), judge_isolation, ("hung_channel_ratio",),
            explained_by=("NT-1",),
        ),
        Check(
            "NT-11", "never-early",
            "What is asked for later comes then: never before, and on an idle line soon after.",
            "What wakes up when its moment comes, and what if that has just been restarted?",
            True, ("later",), judge_later,
            explained_by=("NT-1",),
        ),
        Check(
            "NT-12", "survives-crashes",
            "Whatever crashes, and whenever: what was accepted still arrives, and in time.",
            "Name, for every step from yes to arrived, what is lost if the process ends right after it.",
            True, ("crashes",), judge_crashes,
            (
                "lost_per_1000", "lost_per_crash", "doubled_per_1000", "accepted_store_outage_ratio",
                "accepted_postgres_outage_ratio", "accepted_provider_outage_ratio", "refusal_p99_ms", "recovery_s",
                "declared_loss_s",
            ),
            unless={"delivery": "at-most-once"},
            explained_by=("NT-1",),
        ),
        Check(
            "NT-13", "bad-input-is-refused",
            "A malformed request is refused, delivers nothing and harms no process.",
            "What is the first thing that your code assumes about a body, and what happens when that is not so?",
            True, ("bad-input",), judge_bad_input,
        ),
    ),
)  # fmt: skip
