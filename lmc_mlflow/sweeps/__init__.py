"""How are many pairs made? Grids of configurations, worked through by processes of this machine or by a Ray cluster."""
