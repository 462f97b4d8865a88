"""Writes every table and figure of docs/results anew: `python -m analysis.result_pages`.

A table of a page stands below a line `<!-- table: name -->`, a sentence with numbers below `<!-- text: name -->`.
Everything else on a page is written by hand.
"""

from analysis.result_pages.pages import FOLDER, FRONT, PAGES, draw, filled, shipped_store

with shipped_store():
    for page in (*PAGES, FRONT):
        (FOLDER / page.file).write_text(filled(page))
        draw(page)
