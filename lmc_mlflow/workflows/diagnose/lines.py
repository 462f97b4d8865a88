"""Writes the lines that diagnose prints: its answer, a table of causes, the command to type next."""

from lmc_mlflow.diagnosis.causes import CAUSES
from lmc_mlflow.terminal.closing import browse_lines
from lmc_mlflow.terminal.hints import retyped
from lmc_mlflow.terminal.style import paint, table
from lmc_mlflow.workflows.diagnose.diagnose import DiagnosisOutcome
from lmc_mlflow.workflows.diagnose.page import WHAT, command_of


def diagnosis_lines(outcome: DiagnosisOutcome) -> list[str]:
    """Return the lines for a diagnosis."""
    found = outcome.diagnosis
    rows = [[finding.title, finding.explained.text(found.what), finding.reason] for finding in found.findings]
    lines = [
        f"diagnosis {outcome.run_id}: {outcome.name}",
        f"  {paint(found.sentence, 'bold')}",
        f"  {WHAT[found.what]} on {found.split} images: {found.whole.text(found.what)}",
        *(table(["cause", "explains", "because"], rows) if rows else []),
        *([f"  what would decide: {found.would_decide}"] if found.would_decide else []),
    ]
    if found.findings:
        first = found.findings[0].cause
        command = retyped(command_of(first, (outcome.run_a, outcome.run_b)))
        lines += [f"next: the command for {CAUSES[first].title}", f"  {paint(command, 'bold')}"]
    return [*lines, *browse_lines(outcome.experiment_id, outcome.run_id)]
