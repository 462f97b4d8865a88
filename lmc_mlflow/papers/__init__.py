"""What do the papers say, and do the runs say the same? Tables in, tables and verdicts out; opens no run."""
