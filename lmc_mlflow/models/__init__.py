"""Networks: their table, builders, initialization, parameters, and what is derived from them."""
