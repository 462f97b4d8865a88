"""The command `curvature`: measures how sharp the loss is around logged networks and between them."""
