"""How fast is it, against the way it is usually done? `python -m benchmarks` on the machine at hand."""
