"""Verdict -> one self-contained HTML file, to be read in any browser, with no network.

Everything untrusted is cut by `plain` and escaped by Jinja; what goes to a plot also loses `<`, `>` and `&`, since
plotly.js reads labels as HTML. Apart from the 1.2 MB of that library (its basic bundle) the file stays below 2 MB,
because every list has a most; that of a usual grade has 1.5 MB in all.
"""

import base64
import hashlib
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from crucible.evidence import Evidence
from crucible.judging.graded import Graded
from crucible.judging.tradeoffs import Fit
from crucible.judging.verdict import GradeOutcome, Verdict
from crucible.judging.words import interval, number
from crucible.planning.manifest import Manifest
from crucible.report import choices, circumstances, model, standing
from crucible.report.choice import MOST_FITS, choice, compared
from crucible.report.latency import latencies, rates
from crucible.report.plot import Table
from crucible.report.text import plain, sentence
from crucible.report.timeline import timelines

MOST_CHECKS = 50
_CONTENT = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""The Content-Security-Policy besides scripts; plotly.js writes styles."""


def render_html(graded: Graded) -> str:
    """The report as an HTML document. Whatever the solution said appears as text."""
    verdict = graded.verdict
    begun = verdict.outcome is not GradeOutcome.NOT_STARTED
    views = {
        "choice": choice(graded),
        "latency": latencies(graded),
        "rates": rates(graded),
        "time": timelines(graded.evidence) if begun else (),
    }
    drawn = any(view.plot is not None for group in views.values() for view in group)
    scripts = (_plotly(), _ours("report.js")) if drawn else ()
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts) or "'none'"
    return _environment().get_template("report.html.j2").render(
        verdict=verdict,
        evidence=graded.evidence,
        manifest=graded.manifest,
        references=graded.references,
        model=model,
        circumstances=circumstances,
        standing=standing,
        against=choices.against(graded.verdict, graded.manifest, graded.references),
        would_take=choices.would_take(graded),
        views=views,
        begun=begun,
        compared=compared(graded),
        checks=verdict.checks[:MOST_CHECKS],
        fits=tuple(zip(verdict.fits, standing.businesses(graded), strict=False))[:MOST_FITS],
        policy=f"{_CONTENT}; script-src {hashes}",
        style=_ours("report.css"),
        scripts=scripts,
    )  # fmt: skip


@cache
def _environment() -> Environment:
    """Templates in which every expression is cut and escaped, unless it is markup of ours."""
    environment = Environment(
        loader=PackageLoader("crucible.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else plain(value),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "cut": _cut,
        "sentence": sentence,
        "limits": _limits,
        "bill": _bill,
        "guesses": _guesses,
        "exchanged": _exchanged,
        "used": _used,
    }
    return environment


@cache
def _plotly() -> Markup:
    return _file("vendor", "plotly-basic.min.js")


@cache
def _ours(name: str) -> Markup:
    return _file("templates", name)


def _file(folder: str, name: str) -> Markup:
    return Markup(resources.files("crucible.report").joinpath(folder, name).read_text(encoding="utf-8"))  # noqa: S704


@cache
def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _cut(value: object, limit: int = 300) -> Markup:
    """At most `limit` characters, escaped; a dash where nothing is left."""
    return Markup.escape(plain(value, limit).strip() or "–")


def _limits(fit: Fit, manifest: Manifest) -> Table:
    better = {axis.id: axis.better for axis in manifest.axes}
    rows = (
        (
            limit.axis,
            limit.limit,
            interval(limit.measure, better[limit.axis]) if limit.measure else "not measured",
            standing.SIDES[limit.result],
            _room(limit.margin),
        )
        for limit in fit.limits[: model.MOST_LINES]
    )
    columns = ("axis", "limit", "measured (lowest to highest)", "result", "room")
    return Table(f"Limits of {fit.profile}", columns, tuple(rows))


def _room(margin: float | None) -> str:
    """The factor that is left, or missing."""
    if margin is None or margin <= 0:
        return "–"
    return f"× {number(margin)} left" if margin >= 1 else f"× {number(1 / margin)} too much"


def _bill(fit: Fit) -> Table:
    assert fit.bill is not None
    rows = tuple((line.what, f"{line.usd:,.2f}", line.why) for line in fit.bill.lines[: model.MOST_LINES])
    where = f"{number(fit.bill.rate)} requests per second and {fit.bill.replicas} replicas"
    more = f". And {fit.bill.larger.words}" if fit.bill.larger is not None else ""
    caption = f"For {fit.profile}, at {where}; {fit.bill.prices}{more}"
    return Table(caption, ("what", "USD a month", "why"), rows, ("together", f"{fit.bill.usd:,.2f}", ""))


def _guesses(verdict: Verdict, manifest: Manifest) -> Table:
    rows = tuple((it.axis, it.predicted, it.measured, it.result) for it in standing.predictions(verdict, manifest))
    return Table("Predictions", ("axis", "predicted", "measured (lowest to highest)", "result"), rows)


def _exchanged(seen: circumstances.Architecture) -> Table:
    """What the processes exchanged with each service."""
    rows: list[tuple[str, ...]] = [
        (edge.process, edge.service, edge.peak, edge.round_trips, edge.per_request, edge.bytes_out, edge.bytes_in)
        for edge in seen.edges
    ]
    rows += [("–", name, "no traffic", "0", "0", "–", "–") for name in seen.silent]
    rows = rows or [("–", "no service is used", *["–"] * 5)]
    columns = ("process", "service", "connections at most", "round trips", "per request", "sent", "received")
    return Table("Traffic with services", columns, tuple(rows))


def _used(evidence: Evidence, manifest: Manifest) -> Table:
    rows = tuple((it.subject, it.cpu, it.memory) for it in circumstances.used(evidence, evidence.profile, manifest))
    return Table("Under load", ("who", "CPU per 1,000 answers (lowest to highest)", "memory"), rows)
