"""Networks that torch.export has traced: read from their archives without running anything, and built again."""
