"""Whole networks built from the layers. Which there are: ``energybench.catalogue`` (without torch)."""
