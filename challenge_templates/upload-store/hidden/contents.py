"""UP-1 and UP-14: what comes back is what was stored, whole or in parts; and it comes so that no browser runs it."""

from dataclasses import dataclass
from random import Random

from crucible.authoring.facts import note, noted
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Content, Finding, History, Lab
from crucible.evidence import Op

from .expected import Bytes, Compared, Told, compared, in_all
from .files import THERE, File, Range, draw, known, last, looking, new_file, new_user, read, store

CONTENTS, SERVED = "contents", "served"
SIZES = (1, 1_000, 300_000, 1_500_000)
RANGED = 300_000
RUN = (".html", ".svg", ".js", ".xhtml", ".xml")
"""Names whose content a browser may take for a page, or for a program, of the site that it comes from."""
RUNS = ("", "text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml", "text/javascript",
        "application/javascript", "application/x-javascript", "text/ecmascript", "application/ecmascript", "text/xsl",
        "unknown/unknown", "application/unknown", "*/*")  # fmt: skip
"""Types that a browser runs, or makes a guess at (WHATWG, MIME Sniffing, 7)."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that was stored, by its label."""

    name: str
    sha256: str
    size: int


def ranges(size: int) -> dict[str, Range]:
    """By what is asked for, in words. The last bytes of those that are cut are the file's."""
    return {
        "the first byte": Range("bytes=0-0", 0, 1),
        "the first 100 bytes": Range("bytes=0-99", 0, 100),
        "a range in the middle": Range(f"bytes={size // 3}-{size // 3 + 99_999}", size // 3, size // 3 + 100_000),
        "the last byte": Range(f"bytes={size - 1}-{size - 1}", size - 1, size),
        "a range to the end": Range(f"bytes={size - 1_000}-", size - 1_000, size),
        "the last 500 bytes (a suffix)": Range("bytes=-500", size - 500, size),
        "a range past the end": Range(f"bytes={size - 10_000}-{size + 100_000}", size - 10_000, size),
    }


async def contents(lab: Lab, rng: Random) -> None:
    user = new_user(rng, CONTENTS)
    for index, size in enumerate(SIZES):
        file = new_file(rng, user, size)
        label = f"{CONTENTS}/{index}"
        stored = await store(lab, file, label, index)
        if stored is None:
            continue
        note(lab, Stored(file.name, file.content.sha256(), size), label)
        for target in lab.replicas:
            await _expect(lab, target, stored, file, f"{label}/whole-{target}", f"a file of {size:,} bytes")
            await lab.call(looking(target, stored, user, f"{label}/look"))
        if size == RANGED:
            await _ranges(lab, stored, file, label)
    await _served(lab, rng)


async def _ranges(lab: Lab, stored: str, file: File, label: str) -> None:
    size = file.content.size
    for index, (what, wanted) in enumerate(ranges(size).items()):
        target = lab.replicas[index % len(lab.replicas)]
        await _expect(lab, target, stored, file, f"{label}/range-{index}", what, wanted)
    beyond = Range(f"bytes={size}-", size, size)
    note(lab, Told("a range that begins behind the end", [416]), f"{label}/beyond")
    await read(lab, lab.replicas[0], stored, file.user, f"{label}/beyond", wanted=beyond)
    await read(lab, lab.replicas[-1], stored, file.user, f"{label}/head", method="HEAD")


async def _expect(
    lab: Lab, target: str, stored: str, file: File, label: str, what: str, wanted: Range | None = None
) -> None:
    note(lab, expectation(file.content, what, wanted), label)
    for _ in range(3):
        op = await read(lab, target, stored, file.user, label, wanted=wanted)
        if known(op):
            break


def expectation(content: Content, what: str, wanted: Range | None) -> Bytes:
    if wanted is None:
        return Bytes(what, 200, content.sha256(), content.size)
    said = f"bytes {wanted.start}-{wanted.end - 1}/{content.size}"
    return Bytes(what, 206, content.sha256(wanted.start, wanted.end), wanted.end - wanted.start, said)


async def _served(lab: Lab, rng: Random) -> None:
    user = new_user(rng, SERVED)
    for index, ending in enumerate(RUN):
        file = File(user, f"page{ending}", draw(rng, 2_000))
        label = f"{SERVED}/{index}"
        stored = await store(lab, file, label, index)
        if stored is not None:
            note(lab, Stored(file.name, file.content.sha256(), file.content.size), label)
            await read(lab, lab.replicas[index % len(lab.replicas)], stored, user, f"{label}/read")


def judge_contents(history: History) -> Finding:
    found, stored = compared(history, CONTENTS), noted(history, Stored)
    mine = {label: it for label, it in stored.items() if label.startswith(CONTENTS)}
    wrong = [*found.wrong, *_wrong_words(history, mine), *_wrong_heads(history)]
    counted = {"files that were stored": len(mine), "reads that were held against them": found.right + len(found.wrong)}
    if wrong:
        return failed(in_all(wrong), *(op for _, op in wrong), counted=counted)
    if missing := _missing(found, len(mine), len(SIZES)):
        return inconclusive(missing, counted=counted)
    return passed(
        f"all {found.right} reads, whole and of ranges, brought what was stored, on {history.replicas} replicas",
        counted=counted,
    )


def _missing(found: Compared, stored: int, meant: int) -> str:
    if stored < meant:
        return f"only {stored} of {meant} files could be stored"
    return f"{found.open} reads had no answer" if found.open else ""


def _wrong_words(history: History, stored: dict[str, Stored]) -> list[tuple[str, Op]]:
    """Where what is told of a file is not what it is."""
    wrong = []
    for label, it in stored.items():
        for op in history.named(f"{label}/look"):
            if op.status == 200 and isinstance(op.reply, dict):
                said = op.field("sha256", str), op.field("size", int)
                if said[0] is not None and said[0].lower() != it.sha256:
                    wrong.append((f"the digest told of a file is {said[0][:12]}…, and it is {it.sha256[:12]}…", op))
                elif said[1] is not None and said[1] != it.size:
                    wrong.append((f"a file of {it.size:,} bytes is told to have {said[1]:,}", op))
            elif op.status is not None:
                wrong.append((f"what is known of a stored file was answered with {op.status}", op))
    return wrong


def _wrong_heads(history: History) -> list[tuple[str, Op]]:
    """HEAD, where it is offered: the size, and no body. A redirect is as good, wherever it leads."""
    wrong = []
    for op in history.named(CONTENTS):
        if op.request.method != "HEAD" or op.status != 200 or op.name.endswith(THERE):
            continue
        length = op.headers.get("content-length")
        if op.moved is not None and op.moved.received:
            wrong.append((f"HEAD brought a body of {op.moved.received:,} bytes", op))
        elif length is not None and length != str(RANGED):
            wrong.append((f"HEAD said Content-Length {length} of a file of {RANGED:,} bytes", op))
    return wrong


def judge_served(history: History) -> Finding:
    stored = {label: it for label, it in noted(history, Stored).items() if label.startswith(SERVED)}
    wrong: list[tuple[str, Op]] = []
    seen = 0
    for label, it in stored.items():
        op = last(history.named(f"{label}/read"))
        if op is None or op.status != 200:
            continue
        seen += 1
        if complaint := runs(op):
            wrong.append((f"{it.name} came {complaint}", op))
    counted = {"files with names of pages and programs": len(stored), "of them read": seen}
    if wrong:
        return failed(in_all(wrong), *(op for _, op in wrong), counted=counted)
    if seen < len(RUN):
        return inconclusive(f"only {seen} of {len(RUN)} such files could be read", counted=counted)
    return passed(f"all {seen} came so that no browser runs them", counted=counted)


def runs(op: Op) -> str:
    """How it came, where a browser may run it, in words; empty where none does."""
    kind = op.headers.get("content-type", "").split(";")[0].strip().lower()
    saved = op.headers.get("content-disposition", "").strip().lower().startswith("attachment")
    sniffed = op.headers.get("x-content-type-options", "").strip().lower() != "nosniff"
    if not saved and (kind in RUNS or kind.endswith("+xml")):
        return f"as {kind or 'of no type'}, to be shown"
    if sniffed and op.target.startswith("web."):
        return "without X-Content-Type-Options: nosniff"
    return ""
