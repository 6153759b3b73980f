"""What an event ingestion must show: the scenarios that observe one, and the checks that judge what is recorded."""

from crucible.check import Check, Scenario, Suite

from .atomic import atomic, judge_atomic
from .duplicates import again, duplicates, judge_duplicates
from .edges import edges, judge_edges
from .hostile import bad_input, judge_bad_input
from .line import contact, line
from .outage import judge_outage, outage
from .overload import judge_overload, overload
from .pages import judge_pages, pages_race
from .poison import judge_poison, poison
from .strikes import strikes
from .survival import judge_fresh, judge_lost
from .volume import judge_volume, volume

SCENARIOS = (
    Scenario("contact", "contact", contact, budget_s=180, estimate_s=0.6),
    Scenario("duplicates", "race", duplicates, budget_s=200, estimate_s=2),
    Scenario("pages", "race", pages_race, budget_s=200, estimate_s=3),
    Scenario("line", "steady", line, budget_s=300, estimate_s=9),
    Scenario("edges", "steady", edges, budget_s=180, estimate_s=1),
    Scenario("atomic", "steady", atomic, budget_s=200, estimate_s=3),
    Scenario("volume", "fault", volume, budget_s=400, estimate_s=5),
    Scenario("overload", "fault", overload, budget_s=300, estimate_s=8),
    Scenario("poison", "fault", poison, budget_s=200, estimate_s=3),
    Scenario("outage", "fault", outage, budget_s=300, estimate_s=6),
    Scenario("strikes", "fault", strikes, budget_s=600, estimate_s=20),
    Scenario("bad-input", "fault", bad_input, budget_s=120, estimate_s=2),
    Scenario("again", "fault", again, budget_s=180, estimate_s=3, after="duplicates"),
)

SUITE = Suite(
    scenarios=SCENARIOS,
    checks=(
        Check(
            "EV-1", "none-is-lost",
            "Every event that was acknowledged is counted once, whatever ends, crashes, hangs or is slow.",
            "Between the moment that you say yes and the moment that it is counted, where is an event kept?",
            True, ("contact", "line", "volume", "strikes"), judge_lost,
            ("lost_per_1000", "lost_ms_crash", "doubled_per_1000", "declared_loss_s"),
            explained_by=("EV-2", "EV-3"),
        ),
        Check(
            "EV-2", "duplicates-count-once",
            "The same id is the same event: in a batch, in another one, on another replica, at once, and much later.",
            "Who decides that an id has come before, and for how long does it remember?",
            True, ("contact", "duplicates", "again"), judge_duplicates, ("doubled_per_1000", "duplicates_told_ratio"),
        ),
        Check(
            "EV-3", "bucket-edges",
            "An event is counted in the minute that it bears, to the millisecond, in UTC.",
            "Which clock, and which time zone, decides in which minute an event is?",
            True, ("contact", "edges"), judge_edges,
        ),
        Check(
            "EV-4", "fresh-as-declared",
            "What was acknowledged is counted on every replica as soon as is declared, and soon after any failure.",
            "Who looks for what is new, how often, and what if it has just been restarted?",
            True, ("contact", "line", "strikes"), judge_fresh, ("freshness_p95_ms",),
            explained_by=("EV-1",),
        ),
        Check(
            "EV-5", "reads-are-stable",
            "Who goes on from cursor to cursor sees every event once, and what was counted stays counted.",
            "When is an event's place on the pages decided, and when can others see it?",
            True, ("contact", "pages", "line"), judge_pages,
            explained_by=("EV-1",),
        ),
        Check(
            "EV-6", "batches-are-atomic",
            "Of a batch with a bad item nothing is there, and it can be mended and sent again.",
            "What has already happened when you meet the bad item?",
            True, ("contact", "atomic"), judge_atomic,
            explained_by=("EV-1",),
        ),
        Check(
            "EV-7", "sheds-honestly",
            "What cannot be taken is refused in time, and what cannot be kept is not accepted.",
            "What holds an event that nobody has written down yet, and what if there are ever more?",
            True, ("contact", "overload"), judge_overload, ("burst_held_s", "storm_accepted_ratio"),
            explained_by=("EV-1",),
        ),
        Check(
            "EV-8", "queries-stay-fast",
            "A query for an hour is right and takes at most a second, however many events are stored.",
            "How much does a query read that nobody has asked for?",
            False, ("contact", "volume"), judge_volume, ("query_p95_ms", "bytes_per_event", "memory_bytes_per_event"),
            explained_by=("EV-1",),
        ),
        Check(
            "EV-9", "honest-in-an-outage",
            "While a service is away or hangs, every event is accepted and kept, or refused within two seconds.",
            "How long do you wait for a service that does not answer, and what do you say then?",
            True, ("contact", "outage"), judge_outage, ("accepted_outage_ratio", "accepted_postgres_outage_ratio"),
            explained_by=("EV-1",),
        ),
        Check(
            "EV-10", "bad-input-is-refused",
            "A malformed request is refused, counts nothing and harms no process.",
            "What is the first thing that your code assumes about a body, and what happens when that is not so?",
            True, ("bad-input",), judge_bad_input,
        ),
        Check(
            "EV-11", "poison-is-contained",
            "What a store may refuse is refused, or stored and counted, and holds up nobody.",
            "What becomes of an event that can never be stored, and of those behind it?",
            True, ("contact", "poison"), judge_poison,
        ),
    ),
)  # fmt: skip
