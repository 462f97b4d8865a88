"""The index of the results pages: every question with the first sentence of its answer."""

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

ANSWER = re.compile(r"<!-- text: answer -->\n\n\*\*([^\n]+?)\*\*")
"""The bold first sentence of an answer."""


def index_parts(folder: Path, files: Iterable[str]) -> dict[str, pd.DataFrame]:
    """Quote the question and the first sentence of the answer of every page.

    Raises:
        ValueError: a page without either.
    """
    rows = []
    for file in files:
        text = (folder / file).read_text()
        title, answer = re.match(r"# ([^\n]+)\n", text), ANSWER.search(text)
        if title is None or answer is None:
            raise ValueError(
                f"{file}: a results page has a question as its title, and a line <!-- text: answer --> with an answer "
                "below, whose first sentence is bold"
            )
        rows.append({"question": f"[{title[1]}]({file})", "answer": answer[1]})
    return {"answers": pd.DataFrame(rows)}
