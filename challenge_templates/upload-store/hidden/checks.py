"""What a store of user uploads must show: scenarios that observe one, and checks that judge what is recorded."""

from crucible.check import Check, Scenario, Suite

from .bulk import bulk, judge_bulk
from .contact import contact
from .contents import contents, judge_contents, judge_served
from .deletion import deletion, judge_deletion, judge_sealed
from .hostile import bad_input, judge_bad_input
from .kept import judge_ingested, judge_kept, patience, strikes
from .left import judge_orphans
from .names import judge_private, private
from .orphans import orphans
from .outage import outage
from .quotas import judge_quotas, quota_race, quotas
from .replacing import judge_replacing, replacing_race
from .unfinished import judge_sizes, judge_unfinished, twice, unfinished

SCENARIOS = (
    Scenario("contact", "contact", contact, budget_s=120, estimate_s=0.6),
    Scenario("quota-race", "race", quota_race, budget_s=120, estimate_s=1.5),
    Scenario("twice", "race", twice, budget_s=150, estimate_s=3),
    Scenario("replacing", "race", replacing_race, budget_s=240, estimate_s=6),
    Scenario("bulk", "race", bulk, budget_s=400, estimate_s=12),
    Scenario("contents", "steady", contents, budget_s=150, estimate_s=3),
    Scenario("private", "steady", private, budget_s=150, estimate_s=3),
    Scenario("unfinished", "steady", unfinished, budget_s=150, estimate_s=6),
    Scenario("quotas", "steady", quotas, budget_s=150, estimate_s=5),
    Scenario("deletion", "steady", deletion, budget_s=150, estimate_s=6),
    Scenario("patience", "steady", patience, budget_s=240, estimate_s=20),
    Scenario("bad-input", "fault", bad_input, budget_s=120, estimate_s=2),
    Scenario("outage", "fault", outage, budget_s=240, estimate_s=8),
    Scenario("strikes", "fault", strikes, budget_s=500, estimate_s=16),
    Scenario("orphans", "fault", orphans, budget_s=400, estimate_s=35),
)

SUITE = Suite(
    scenarios=SCENARIOS,
    checks=(
        Check(
            "UP-1", "bytes-round-trip",
            "What is read is what was stored, byte for byte, whole or in ranges, on every replica.",
            "Where are the bytes, and can every process of yours get at them, from any byte on?",
            True, ("contact", "contents"), judge_contents,
        ),
        Check(
            "UP-2", "nothing-before-complete",
            "Of an upload that was cut off, that is wrong or not completed, nothing is ever to be seen.",
            "What tells a whole upload from a part of one, and who has looked at the bytes?",
            True, ("contact", "unfinished", "twice"), judge_unfinished,
        ),
        Check(
            "UP-3", "replace-is-atomic",
            "Readers see versions whole, and only such as were current while they read.",
            "What does a slow reader read when the file is replaced in the middle of it?",
            True, ("contact", "replacing"), judge_replacing,
        ),
        Check(
            "UP-4", "completed-means-kept",
            "What was completed is there, whatever ends, crashes, is away or sweeps meanwhile.",
            "When you say that an upload is complete, where is it, and what may still take it away?",
            True, ("contact", "patience", "outage", "strikes"), judge_kept,
            ("lost_per_1000", "available_outage_ratio"),
        ),
        Check(
            "UP-5", "private",
            "Others get nothing on any route; and a name that was taken, whatever it holds, can be downloaded again.",
            "Which of your routes asks whose file it is, and where does a name go that somebody else chose?",
            True, ("contact", "private"), judge_private,
        ),
        Check(
            "UP-6", "quota-is-exact",
            "A quota is never certainly exceeded, and nothing is refused for which there was certainly room.",
            "Between looking how much is taken and taking more, what can another upload do?",
            True, ("contact", "quota-race", "quotas", "outage", "orphans"), judge_quotas,
        ),
        Check(
            "UP-7", "declared-size-is-enforced",
            "Who sends more than was declared cannot complete it.",
            "What in an address that you give away says how much may be sent there?",
            True, ("contact", "unfinished"), judge_sizes,
        ),
        Check(
            "UP-8", "delete-deletes",
            "What is deleted is gone on every replica within two seconds, and what is alike stays.",
            "Who else still knows of a file when you have deleted it, and who else still needs its bytes?",
            True, ("contact", "deletion", "orphans"), judge_deletion,
        ),
        Check(
            "UP-9", "no-orphans",
            "When all is over, the stores hold what the living files explain, and every room is free again.",
            "Who takes away what an upload left that came to nothing, and how does he know it?",
            True, ("contact", "orphans"), judge_orphans,
            ("bytes_per_file", "bytes_per_file_postgres", "bytes_per_file_s3", "bytes_per_file_redis", "reclaim_s"),
        ),
        Check(
            "UP-10", "bounded-memory",
            "Many large files at once, up and down and slow, fit into little memory.",
            "How much of a file do you hold at any moment, and for how many clients at once?",
            True, ("contact", "bulk"), judge_bulk, ("app_bytes_per_byte", "upload_mb_per_s", "download_mb_per_s"),
        ),
        Check(
            "UP-11", "really-ingested",
            "The bytes themselves are kept: any range of them can be asked for later.",
            "What do you answer from when somebody asks for the bytes?",
            True, ("contact", "patience"), judge_ingested, explained_by=("UP-1",),
        ),
        Check(
            "UP-12", "bad-input-is-refused",
            "A malformed request is refused, begins nothing and harms no process.",
            "What is the first thing that your code assumes about a request, and what happens when that is not so?",
            True, ("bad-input",), judge_bad_input,
        ),
        Check(
            "UP-13", "sealed-when-complete",
            "After `complete`, and after DELETE, the put as it was given changes nothing that anybody can read.",
            "For how long can an address that you gave away be written to, and what lies there then?",
            True, ("contact", "deletion"), judge_sealed,
        ),
        Check(
            "UP-14", "served-safely",
            "What a browser could take for a page or a program comes as a download, or as a type that it does not run.",
            "Whose page is it when a browser opens what a user has uploaded?",
            True, ("contact", "contents"), judge_served,
        ),
    ),
)  # fmt: skip
