"""Writes a report as one HTML page without scripts, that needs no network and no other file."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from lmc_mlflow.findings.condition_table import POLICIES
from lmc_mlflow.papers.claims import CLAIMS, count_answers
from lmc_mlflow.papers.hepburn.batch_norm_question import question_rows
from lmc_mlflow.papers.marks import AGREES, SAME
from lmc_mlflow.papers.report.content import (
    MARKED,
    Content,
    count_filled,
    count_marks,
    left_out_note,
    short_title,
    stand_ins_note,
    with_data,
)
from lmc_mlflow.papers.report.empty import names_with_data
from lmc_mlflow.papers.report.html import Link, fold, path_table, prose
from lmc_mlflow.papers.report.markdown import HOW_TO_READ
from lmc_mlflow.papers.report.sections import (
    Picture,
    claims_section,
    empty_section,
    figures_section,
    my_runs_section,
    table_section,
)

TITLE = "Linear mode connectivity under data shifts: my runs, and the papers beside them"
PAPERS = "Papers: Hepburn et al. (H, Tables I to VIII); Altintas et al. (D, Tables 1 to 4); permutation slides (zoo)."
QUESTION = "Is the barrier of ResNets under label imbalance one of basins, or of batch norm?"


def page(
    content: Content, pictures: Sequence[Picture], link: Link, source: str, overview: Picture | None = None
) -> str:
    """Write the whole page: my runs, then what the papers say of the same, then what is missing.

    Args:
        content: what the page says.
        pictures: in the order they are shown.
        link: gives the address of a run by its id, or None.
        source: where the runs are, in words.
        overview: the figure of the first section.
    """
    style = files("lmc_mlflow.papers.report").joinpath("page.css").read_text()
    full = names_with_data(content)
    sections = {
        "my runs": my_runs_section(content, overview, pictures, link),
        "claims": f"{_papers(content)}{claims_section(content, link)}",
        "batch norm": _question(content, link),
        **{_short(name): table_section(name, content, pictures, link) for name in full},
        "figures": figures_section(pictures),
        "without data": empty_section(content, pictures),
        "how to read this": f'<h2 id="reading">How to read this</h2>{fold("marks and columns", prose(HOW_TO_READ))}',
    }
    anchors = {"my runs": "mine", "batch norm": "question", "without data": "empty", "how to read this": "reading"}
    anchors |= {_short(name): name for name in full}
    links = [f'<a href="#{anchors.get(name, name)}">{escape(name)}</a>' for name, text in sections.items() if text]
    body = "\n".join(
        [
            f"<h1>{escape(TITLE)}</h1>",
            f'<p class="soft">{escape(_read(content, source))}</p>',
            f"<nav>{''.join(links)}</nav>",
            *filter(None, sections.values()),
        ]
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(TITLE)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>\n{style}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _read(content: Content, source: str) -> str:
    read = ", ".join(f"{number:,} {noun}" for noun, number in content.num_runs.items())
    return " ".join(filter(None, [f"{read} from {source}.", stand_ins_note(content), left_out_note(content.left_out)]))


def _papers(content: Content) -> str:
    """Write how many claims and printed cells this store speaks of."""
    said = count_answers(content.verdicts, POLICIES[0])
    boxes = [(f"{said['supported']} of {len(CLAIMS)}", "claims supported"), (str(said["contradicted"]), "contradicted")]
    for name in MARKED:
        full, total = count_filled(content.tables[name])
        marks = count_marks(content.tables[name])
        words = f"{_short(name)} cells; {marks[AGREES]} numbers agree, {marks[SAME]} say the same"
        boxes += [(f"{full} of {total}", words)] if full else []
    inner = "".join(
        f'<div class="box"><b>{escape(big)}</b><span class="soft">{escape(small)}</span></div>' for big, small in boxes
    )
    return f'<h2 id="papers">Beside the papers</h2><p class="soft">{PAPERS}</p><div class="boxes">{inner}</div>'


def _short(name: str) -> str:
    short = short_title(name)
    return f"Table {short}" if "table" in name else short


def _question(content: Content, link: Link) -> str:
    """Answer the question of Table VII; nothing where no run speaks of it."""
    rows = with_data(question_rows(content.tables["table_vii"]))
    if rows.empty:
        return ""
    answer = f'<div class="answer">{prose(content.answer)}</div>'
    cells = fold("the cells", path_table(rows, link))
    return f'<h2 id="question">{escape(QUESTION)}</h2>{answer}{cells}'
