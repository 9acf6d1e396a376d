"""Layers PyTorch does not ship, one family a file. Which there are: ``energybench.catalogue`` (without torch)."""
