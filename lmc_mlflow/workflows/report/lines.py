"""Writes the lines that report prints: its result, a table of its numbers, the command to type next."""

from lmc_mlflow.terminal.closing import browse_lines, next_step
from lmc_mlflow.terminal.hints import retyped
from lmc_mlflow.terminal.style import paint, table
from lmc_mlflow.workflows.report.report import ReportOutcome

MOST_CONDITIONS = 10
"""Conditions that the terminal shows of a report."""


def report_lines(outcome: ReportOutcome) -> list[str]:
    """Return the lines for a report."""
    mine = outcome.mine
    lines = [f"report {outcome.report}: {mine.summary.replace('**', '')}"]
    rows = [[one.label, one.between, str(one.num_seeds), one.verdict] for one in mine.conditions]
    if rows:
        lines += table(["condition", "between", "seeds", "verdict"], rows[:MOST_CONDITIONS])
    if len(rows) > MOST_CONDITIONS:
        lines.append(f"  and {len(rows) - MOST_CONDITIONS} more conditions")
    lines.append(f"  {outcome.headline.replace('**', '')}")
    lines += [f"  {path}" for path in outcome.written]
    if mine.command:
        lines += ["next: measure what is missing", f"  {paint(retyped(mine.command), 'bold')}"]
    elif outcome.written:
        lines += next_step("copy the runs behind it to another store", "export", out="runs.zip")
    else:
        lines += next_step("write it into a folder, with its figures", "report", out="report")
    return lines + browse_lines(outcome.experiment_id, outcome.report)
