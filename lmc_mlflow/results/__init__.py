"""Results of the Python interface: small frozen objects that name a run, and read its table and figure."""
