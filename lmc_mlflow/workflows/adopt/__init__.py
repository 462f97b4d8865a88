"""Networks that were trained elsewhere: found, read without running anything in them, and logged as endpoints."""
