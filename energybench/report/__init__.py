"""What does a run look like? Figures, one self-contained page, and the words in the terminal; never torch."""
