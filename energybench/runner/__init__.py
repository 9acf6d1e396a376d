"""How is it measured? A comparison's windows, what they stand on, and when they begin and end."""
