"""What a pipeline for files must show: scenarios that observe one, and checks that judge what is recorded."""

from crucible.check import Check, Scenario, Suite

from .arrivals import arrivals
from .bad import bad, judge_bad_files
from .callbacks import callbacks, judge_events
from .cancel import cancel, judge_cancel
from .contact import contact
from .ends import judge_ends
from .exact import chunks, dribbled, exact, judge_exact
from .heavy import heavy, judge_memory, judge_quick
from .hostile import bad_input, judge_bad_input
from .killer import judge_killer, killer
from .left import judge_left, left
from .retries import judge_retries, retries
from .strikes import kills, strikes
from .watched import judge_progress, judge_readable, watched

SCENARIOS = (
    Scenario("contact", "contact", contact, budget_s=150, estimate_s=1),
    Scenario("arrivals", "race", arrivals, budget_s=150, estimate_s=5),
    Scenario("retries", "race", retries, budget_s=240, estimate_s=1),
    Scenario("heavy", "race", heavy, budget_s=900, estimate_s=18),
    Scenario("exact", "steady", exact, budget_s=300, estimate_s=8),
    Scenario("chunks", "steady", chunks, budget_s=400, estimate_s=9),
    Scenario("dribbled", "steady", dribbled, budget_s=150, estimate_s=9),
    Scenario("watched", "steady", watched, budget_s=240, estimate_s=8),
    Scenario("bad", "steady", bad, budget_s=240, estimate_s=6),
    Scenario("callbacks", "steady", callbacks, budget_s=240, estimate_s=8),
    Scenario("cancel", "fault", cancel, budget_s=300, estimate_s=7),
    Scenario("bad-input", "fault", bad_input, budget_s=150, estimate_s=0.3),
    Scenario("kills", "fault", kills, budget_s=600, estimate_s=18),
    Scenario("strikes", "fault", strikes, budget_s=600, estimate_s=18),
    Scenario("killer", "fault", killer, budget_s=600, estimate_s=21),
    Scenario("left", "fault", left, budget_s=400, estimate_s=18),
)

SUITE = Suite(
    scenarios=SCENARIOS,
    checks=(
        Check(
            "FP-1", "exact-result",
            "The result is that of the file, whatever lies across the ends of chunks, and whatever was struck.",
            "Where does one piece of the file end for you, and what might be cut in two there?",
            True, ("contact", "exact", "chunks", "dribbled", "watched", "heavy", "kills", "strikes"), judge_exact,
        ),
        Check(
            "FP-2", "done-means-readable",
            "What is done can be read at once, on every replica, and stays as it is.",
            "What has to be there, and for whom, before anybody may hear that a job is done?",
            True, ("contact", "watched", "retries", "arrivals", "kills", "strikes"), judge_readable,
            ("done_p50_ms", "done_p95_ms"),
        ),
        Check(
            "FP-3", "progress-is-monotone",
            "Neither a state nor the progress ever goes back, and what is over stays over.",
            "Who may still write the state of a job, and what does he believe it to be?",
            True, ("contact", "watched", "retries", "arrivals", "cancel", "kills", "strikes", "heavy"), judge_progress,
        ),
        Check(
            "FP-4", "retry-is-safe",
            "One key is one job; the same file under another key is another one.",
            "What makes two submissions the same, and who has looked when both come at once?",
            True, ("contact", "retries"), judge_retries,
        ),
        Check(
            "FP-5", "bad-files-fail",
            "A file that cannot be read fails soon, with a reason, and holds nobody up.",
            "How does your code tell a file that will never work from a store that is away?",
            True, ("contact", "bad"), judge_bad_files,
        ),
        Check(
            "FP-6", "every-job-ends",
            "Every job that was accepted ends with its result, whatever is killed, stopped, away or reset.",
            "When you say that you have a file, where is it, and who will notice that nobody works on it any more?",
            True, ("contact", "kills", "strikes"), judge_ends, ("lost_per_1000", "available_outage_ratio"),
        ),
        Check(
            "FP-7", "event-per-job",
            "An event comes for every job that ends, with one id, also where the callback is away for a while.",
            "Between a job's end and the event that was heard, what can go wrong, and who tries again?",
            True, ("contact", "callbacks", "watched", "bad", "kills", "strikes"), judge_events,
        ),
        Check(
            "FP-8", "bounded-memory",
            "Large files at once fit into little memory, also when services are slow.",
            "How much of a file do you hold at any moment, and what stops its sender when you cannot go on?",
            True, ("contact", "heavy"), judge_memory, ("submit_mb_per_s", "mb_per_s"),
        ),
        Check(
            "FP-9", "the-api-stays-quick",
            "Small requests, and small jobs, do not wait for large files.",
            "What does the process that answers small requests do while it has a large file in hand?",
            True, ("contact", "heavy"), judge_quick, ("api_heavy_ratio",), explained_by=("FP-8",),
        ),
        Check(
            "FP-10", "cancel-holds",
            "After the answer to DELETE there is no result, and nothing says done any more.",
            "Who may be about to finish a job at the moment in which it is deleted?",
            True, ("contact", "cancel"), judge_cancel,
        ),
        Check(
            "FP-11", "leaves-nothing-behind",
            "What is deleted, cut off or refused is gone from every store and every disk.",
            "Who takes away what an upload left that came to nothing, and how does he know it?",
            True, ("contact", "left"), judge_left,
            ("stored_bytes_per_byte", "kept_ratio", "stored_postgres", "stored_s3", "stored_redis", "reclaim_s"),
        ),
        Check(
            "FP-12", "bad-input-is-refused",
            "A malformed request is refused, begins nothing and harms no process.",
            "What is the first thing that your code assumes about a request, and what happens when that is not so?",
            True, ("bad-input",), judge_bad_input,
        ),
        Check(
            "FP-13", "a-killer-is-contained",
            "A file on which worker after worker is killed is given up, and what waits behind it is done.",
            "Who counts the attempts of a worker that cannot say that it has failed?",
            True, ("contact", "killer"), judge_killer,
        ),
    ),
)  # fmt: skip
