"""Writes a report as one HTML page without scripts, that needs no network and no other file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from lmc_mlflow.findings.condition_table import POLICIES
from lmc_mlflow.findings.evidence import Verdict
from lmc_mlflow.papers.claims import CLAIMS, JUDGED, PAPER, count_answers
from lmc_mlflow.papers.commands import GRIDS, sweep_command
from lmc_mlflow.papers.hepburn.batch_norm_question import question_rows
from lmc_mlflow.papers.marks import AGREES, SAME
from lmc_mlflow.papers.printed import PATH_TABLES
from lmc_mlflow.papers.report.content import (
    MARKED,
    TABLE_TITLES,
    Content,
    count_filled,
    count_marks,
    short_title,
    stand_ins_note,
)
from lmc_mlflow.papers.report.html import (
    Link,
    badge,
    ensemble_table,
    figure,
    path_table,
    plain_table,
    prose,
    runs,
    table,
)
from lmc_mlflow.papers.report.markdown import HOW_TO_READ

TITLE = "Linear mode connectivity under data shifts: this store beside the papers"
PAPERS = "Papers: Hepburn et al. (H, Tables I to VIII); Altintas et al. (D, Tables 1 to 4); permutation slides (zoo)."
QUESTION = "Is the barrier of ResNets under label imbalance one of basins, or of batch norm?"


@dataclass(frozen=True)
class Picture:
    """A figure of the page: PNG bytes, what it shows, and the table it stands below (empty: at the end)."""

    png: bytes
    title: str
    caption: str
    below: str = ""


def page(content: Content, pictures: Sequence[Picture], link: Link, source: str) -> str:
    """Write the whole page.

    Args:
        content: what the page says.
        pictures: in the order they are shown.
        link: gives the address of a run by its id, or None.
        source: where the runs are, in words.
    """
    style = files("lmc_mlflow.papers.report").joinpath("page.css").read_text()
    body = "\n".join(
        [
            f"<h1>{escape(TITLE)}</h1>",
            f'<p class="soft">{escape(_read(content, source))} {PAPERS}</p>',
            _boxes(content),
            _question(content, link),
            _claims(content, link),
            *(_table(name, content, pictures, link) for name in TABLE_TITLES),
            _figures([picture for picture in pictures if not picture.below]),
            f'<h2 id="reading">How to read this</h2><p>{prose(HOW_TO_READ)}</p>',
        ]
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(TITLE)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>\n{style}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _read(content: Content, source: str) -> str:
    read = ", ".join(f"{number:,} {noun}" for noun, number in content.num_runs.items())
    return f"{read} from {source}. {stand_ins_note(content)}".strip()


def _boxes(content: Content) -> str:
    said = count_answers(content.verdicts, POLICIES[0])
    boxes = [(f"{said['supported']} of {len(CLAIMS)}", "claims supported"), (str(said["contradicted"]), "contradicted")]
    for name in MARKED:
        full, total = count_filled(content.tables[name])
        marks = count_marks(content.tables[name])
        boxes.append(
            (f"{full} of {total}", f"{_short(name)} cells; {marks[AGREES]} numbers agree, {marks[SAME]} say the same")
        )
    inner = "".join(
        f'<div class="box"><b>{escape(big)}</b><span class="soft">{escape(small)}</span></div>' for big, small in boxes
    )
    names = {"question": "batch norm", "claims": "claims", **{name: _short(name) for name in TABLE_TITLES}}
    names |= {"figures": "figures", "reading": "how to read this"}
    links = "".join(f'<a href="#{anchor}">{escape(text)}</a>' for anchor, text in names.items())
    return f'<div class="boxes">{inner}</div><nav>{links}</nav>'


def _short(name: str) -> str:
    short = short_title(name)
    return f"Table {short}" if "table" in name else short


def _question(content: Content, link: Link) -> str:
    rows = question_rows(content.tables["table_vii"])
    return (
        f'<h2 id="question">{escape(QUESTION)}</h2><div class="answer">{prose(content.answer)}</div>'
        f"{path_table(rows, link)}"
    )


def _claims(content: Content, link: Link) -> str:
    head = [
        "",
        "claim",
        *(f"bn = {name}" if name != PAPER else "the papers' own tables" for name in JUDGED),
        "evidence",
    ]
    rows = []
    for claim in CLAIMS:
        verdicts = content.verdicts[claim.name]
        answers = [badge(verdicts[name].answer) for name in JUDGED]
        rows.append([f'<td class="id">{claim.name}</td>', escape(claim.sentence), *answers, _evidence(verdicts, link)])
    return f'<h2 id="claims">Claims</h2>{table(head, rows)}'


def _evidence(verdicts: Mapping[str, Verdict], link: Link) -> str:
    first = verdicts[POLICIES[0]]
    more = "".join(
        f"<p><b>{escape(name)}</b>: {prose(verdict.sentence)}</p>"
        for name, verdict in verdicts.items()
        if name != POLICIES[0] and verdict.evidence
    )
    folded = f"<details><summary>the other judgements</summary>{more}</details>" if more else ""
    return f"{prose(first.sentence)}{folded}{runs(' '.join(first.run_ids), link)}"


def _table(name: str, content: Content, pictures: Sequence[Picture], link: Link) -> str:
    rows = content.tables[name]
    drawn = path_table(rows, link) if name in PATH_TABLES else _DRAWN.get(name, plain_table)(rows, link)
    fill = f'<p class="soft">To fill it: <code>{escape(sweep_command(name))}</code></p>' if name in GRIDS else ""
    below = "".join(figure(p.png, p.title, p.caption) for p in pictures if p.below == name)
    note = f'<div class="answer">{prose(content.notes[name])}</div>' if name in content.notes else ""
    return f'<h2 id="{name}">{escape(TABLE_TITLES[name])}</h2>{note}{drawn}{fill}{below}'


_DRAWN = {"table_iii": ensemble_table}


def _figures(pictures: Sequence[Picture]) -> str:
    drawn = "".join(f"<h3>{escape(p.title)}</h3>{figure(p.png, p.title, p.caption)}" for p in pictures)
    return f'<h2 id="figures">Figures</h2>{drawn}'
