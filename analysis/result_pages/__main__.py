"""Writes every table and figure of docs/results anew: `python -m analysis.result_pages`.

A table of a page stands below a line `<!-- table: name -->`, a sentence with numbers below `<!-- text: name -->`.
Everything else on a page is written by hand.
"""

from analysis.result_pages.pages import shipped_store, write_pages

with shipped_store():
    write_pages()
