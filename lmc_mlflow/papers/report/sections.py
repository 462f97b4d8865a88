"""Writes the sections of the report's page: my runs, claims, tables, figures, and what has no data yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from lmc_mlflow.findings.condition_table import POLICIES
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.findings.evidence import INSUFFICIENT, Claim, Verdict
from lmc_mlflow.papers.claims import CLAIMS, JUDGED, PAPER
from lmc_mlflow.papers.printed import PATH_TABLES
from lmc_mlflow.papers.report.content import TABLE_TITLES, Content, with_data
from lmc_mlflow.papers.report.empty import PRINTED_ALONE, by_command, empty_tables, table_command
from lmc_mlflow.papers.report.html import (
    Link,
    badge,
    ensemble_table,
    figure,
    fold,
    path_table,
    plain_table,
    prose,
    runs,
    table,
)

MOST_CONDITIONS = 12
"""Conditions of the first section that are shown at once; further ones are folded."""
MOST_CELLS = 20
"""Rows of a paper's table that are shown at once."""
MY_RUNS = "mine"
"""The first section, where a figure says what it stands below."""
_DRAWN = {"table_iii": ensemble_table}


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        svg: the bytes of the file; empty where there is no data.
        title: what it shows.
        caption: below it.
        below: the table it stands below; empty: with the other figures.
        command: that makes its data, where there are none.
        narrow: the same figure for a narrow screen; empty: there is none.
    """

    svg: bytes
    title: str
    caption: str
    below: str = ""
    command: str = ""
    narrow: bytes = b""


def my_runs_section(content: Content, overview: Picture | None, pictures: Sequence[Picture], link: Link) -> str:
    """Write the first section: what this store holds, with the figures that belong below `MY_RUNS`."""
    mine = content.mine
    parts = ['<h2 id="mine">My runs</h2>', f'<div class="answer">{prose(mine.summary)}</div>']
    parts += [figure(overview.svg, overview.title, overview.caption, overview.narrow)] if overview else []
    parts += [figure(p.svg, p.title, p.caption) for p in pictures if p.below == MY_RUNS and p.svg]
    parts += [_commands({mine.command: ["Next"]})] if mine.command else []
    parts += [f"<h3>{head}</h3>{_conditions(rows, link)}" for head, rows in _tables_of(content) if len(rows)]
    return "".join(parts)


def _tables_of(content: Content) -> list[tuple[str, pd.DataFrame]]:
    return [
        ("Paths by condition", content.mine.paths),
        ("Pairs by condition (mean ± sample deviation over seeds)", content.mine.pairs),
    ]


def _conditions(rows: pd.DataFrame, link: Link) -> str:
    shown = [name for name in rows.columns if name != "run_ids"]
    lines = [[*(_cell(name, row[name]) for name in shown), runs(row["run_ids"], link)] for _, row in rows.iterrows()]
    heads = [*shown, "runs"]
    more = lines[MOST_CONDITIONS:]
    rest = fold(f"{len(more)} more conditions", table(heads, more)) if more else ""
    return table(heads, lines[:MOST_CONDITIONS]) + rest


def _cell(name: str, value: object) -> str:
    if name == "verdict":
        return badge(str(value))
    text = escape(str(value))
    return text if name in ("condition", "between") else f'<td class="num">{text}</td>'


def claims_section(content: Content, link: Link) -> str:
    """Write the claims that this store says something about; the others folded below."""
    decided = [one for one in CLAIMS if _is_compared(content.verdicts[one.name])]
    others = [one for one in CLAIMS if one not in decided]
    shown = (
        _claims(decided, content, link)
        if decided
        else "<p>No claim of the papers has a comparison in this store yet.</p>"
    )
    rest = fold(f"{len(others)} claims without a comparison in this store", _claims(others, content, link))
    return f'<h2 id="claims">Claims</h2>{shown}{rest if others else ""}'


def _is_compared(verdicts: Mapping[str, Verdict]) -> bool:
    return any(verdicts[name].answer != INSUFFICIENT for name in POLICIES)


def _claims(claims: Sequence[Claim], content: Content, link: Link) -> str:
    judged = [f"bn = {name}" if name != PAPER else "the papers' own tables" for name in JUDGED]
    rows = []
    for claim in claims:
        verdicts = content.verdicts[claim.name]
        answers = [badge(verdicts[name].answer) for name in JUDGED]
        rows.append([f'<td class="id">{claim.name}</td>', escape(claim.sentence), *answers, _evidence(verdicts, link)])
    return table(["", "claim", *judged, "evidence"], rows)


def _evidence(verdicts: Mapping[str, Verdict], link: Link) -> str:
    first = verdicts[POLICIES[0]]
    more = "".join(
        f"<p><b>{escape(name)}</b>: {prose(verdict.sentence)}</p>"
        for name, verdict in verdicts.items()
        if name != POLICIES[0] and verdict.evidence
    )
    folded = fold("the other judgements", more) if more else ""
    return f"{prose(first.sentence)}{folded}{runs(' '.join(first.run_ids), link)}"


def table_section(name: str, content: Content, pictures: Sequence[Picture], link: Link) -> str:
    """Write a table: rows with data first, its figure, then the cells without data, folded."""
    whole = content.tables[name]
    full = with_data(whole)
    empty = whole.drop(full.index)
    note = f'<div class="answer">{prose(content.notes[name])}</div>' if name in content.notes else ""
    below = "".join(figure(p.svg, p.title, p.caption) for p in pictures if p.below == name and p.svg)
    shown = _draw(name, full, link) if len(full) <= MOST_CELLS else fold(f"{len(full)} rows", _draw(name, full, link))
    rest = ""
    if len(empty):
        fill = table_command(name, whole)
        rest = fold(
            f"{counted(len(empty), 'row')} without data of enough seeds",
            _commands({fill: ["To fill them"]}) + _draw(name, empty, link),
        )
    return f'<h2 id="{name}">{escape(TABLE_TITLES[name])}</h2>{note}{below}{shown}{rest}'


def _draw(name: str, rows: pd.DataFrame, link: Link) -> str:
    return path_table(rows, link) if name in PATH_TABLES else _DRAWN.get(name, plain_table)(rows, link)


def figures_section(pictures: Sequence[Picture]) -> str:
    """Write the figures that belong to no table, each folded under its title."""
    drawn = "".join(fold(p.title, figure(p.svg, p.title, p.caption)) for p in pictures if not p.below and p.svg)
    return f'<h2 id="figures">Figures of the papers, from my runs</h2>{drawn}' if drawn else ""


def empty_section(content: Content, pictures: Sequence[Picture]) -> str:
    """Write the commands that make what has no data yet, as text, and the tables that need no runs: all folded."""
    drawings = {f"Figure: {p.title}": p.command for p in pictures if not p.svg and not p.below}
    commands = by_command([empty_tables(content), drawings])
    parts = [fold(f"{sum(map(len, commands.values()))} tables and figures: their commands", _commands(commands))]
    parts += [
        fold(f"{TABLE_TITLES[name]} (needs no runs)", plain_table(content.tables[name], lambda _: None))
        for name in PRINTED_ALONE
    ]
    return f'<h2 id="empty">Without data yet</h2>{"".join(parts if commands else parts[1:])}'


def _commands(commands: Mapping[str, Sequence[str]]) -> str:
    return "".join(
        f'<p class="soft">{"<br>".join(map(escape, titles))}</p><pre><code>{escape(text)}</code></pre>'
        for text, titles in commands.items()
    )
