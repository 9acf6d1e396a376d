"""What do the numbers mean? Joules, intervals and analytic models, from a run folder or from shapes; never torch."""
