"""Writes a diagnosis as a page: Markdown, and HTML that needs no other file."""

import base64
import math
from collections.abc import Iterator
from html import escape
from typing import Any

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.diagnosis.causes import CAUSES
from lmc_mlflow.diagnosis.findings import Diagnosis, Finding
from lmc_mlflow.papers.report.html import prose, table

WHAT = {
    "barrier": "barrier over the mean of both ends (nats)",
    "barrier_in_basin": "barrier in the basin (nats)",
    "error_barrier": "error barrier",
}
STYLE = """body { font-family: system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }
body { line-height: 1.45 } table { border-collapse: collapse }
td, th { border: 1px solid #ccc; padding: .3em .6em; text-align: left; vertical-align: top }
code { background: #f3f3f3; padding: .1em .3em; overflow-wrap: anywhere }
pre { background: #f3f3f3; padding: .6em; white-space: pre-wrap } pre code { padding: 0 } h1, h2 { line-height: 1.2 }
.wide { overflow-x: auto; margin: 1em 0 } .wide img { width: 100%; min-width: 44em }
@media (max-width: 640px) { .wide td, .wide th { padding: .2em .3em; font-size: 85% } }"""
TITLE = "Why is there a barrier?"


def command_of(cause: str, ends: tuple[str, str]) -> str:
    """Write the command that shows or removes a cause."""
    return f"{RUN} {CAUSES[cause].command.format(a=ends[0], b=ends[1])}"


def finding_rows(found: Diagnosis, ends: tuple[str, str]) -> list[dict[str, Any]]:
    """List the causes: cause, title, explained with low and high, share of the whole, reason and command."""
    return [
        {
            "cause": finding.cause,
            "title": finding.title,
            "explained": finding.explained.value,
            "low": None if math.isnan(finding.explained.low) else finding.explained.low,
            "high": None if math.isnan(finding.explained.high) else finding.explained.high,
            "share": finding.explained.value / found.whole.value if found.whole.value else None,
            "reason": finding.reason,
            "command": command_of(finding.cause, ends),
        }
        for finding in found.findings
    ]


def diagnosis_markdown(found: Diagnosis, ends: tuple[str, str]) -> str:
    """Write the page as Markdown, which is the description of the run too."""
    return "\n\n".join(
        [
            f"**{found.sentence}**",
            _measured(found, ends),
            *([_markdown_table(found)] if found.findings else []),
            *(f"**{f.title}.** {CAUSES[f.cause].meaning}\n\n    {command_of(f.cause, ends)}" for f in found.findings),
            *([f"What would decide: {found.would_decide}."] if found.would_decide else []),
        ]
    )


def _measured(found: Diagnosis, ends: tuple[str, str]) -> str:
    return (
        f"Between A `{ends[0]}` and B `{ends[1]}` as they are: {WHAT[found.what]} on {found.split} images "
        f"{found.whole.text(found.what)}; connected by interval: {found.connected}. "
        f"{found.num_paths} path{'s were' if found.num_paths != 1 else ' was'} measured."
    )


def _share(finding: Finding, found: Diagnosis) -> str:
    return f"{100 * finding.explained.value / found.whole.value:.0f} %" if found.whole.value else ""


def _cells(found: Diagnosis) -> Iterator[list[str]]:
    for finding in found.findings:
        yield [finding.title, finding.explained.text(found.what), _share(finding, found), finding.reason]


def _markdown_table(found: Diagnosis) -> str:
    rows = "\n".join(f"| {' | '.join(cells)} |" for cells in _cells(found))
    return f"| cause | explains | of the whole | because |\n|---|---|---|---|\n{rows}"


def diagnosis_page(found: Diagnosis, ends: tuple[str, str], name: str, figure: bytes) -> str:
    """Write the page as HTML.

    Args:
        found: the diagnosis.
        ends: run ids of A and B.
        name: of the run.
        figure: PNG.
    """
    head = ["cause", "explains", "of the whole", "because"]
    encoded = base64.b64encode(figure).decode()
    parts = [
        f"<h1>{TITLE}</h1><p>{escape(name)}</p>",
        f"<p><b>{escape(found.sentence)}</b></p>",
        f"<p>{prose(_measured(found, ends))}</p>",
        *([table(head, [[escape(cell) for cell in cells] for cells in _cells(found)])] if found.findings else []),
        f'<div class="wide"><img alt="{escape(name)}" src="data:image/png;base64,{encoded}"></div>',
        *(
            f"<h2>{escape(f.title)}</h2><p>{escape(CAUSES[f.cause].meaning)}</p>"
            f"<pre><code>{escape(command_of(f.cause, ends))}</code></pre>"
            for f in found.findings
        ),
        *([f"<p>What would decide: {escape(found.would_decide)}.</p>"] if found.would_decide else []),
    ]
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(name)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body>\n{body}\n</body></html>\n"
    )
