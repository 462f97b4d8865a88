"""The report on a store beside the papers, as HTML, Markdown and CSV."""
