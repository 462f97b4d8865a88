"""Writes every table of docs/results anew: `python -m analysis.result_pages`.

A table of a page stands below a line `<!-- table: name -->`. Everything else on a page is written by hand.
"""

from analysis.result_pages.pages import FOLDER, SOURCES, filled

for source in SOURCES:
    (FOLDER / source.page).write_text(filled(source))
