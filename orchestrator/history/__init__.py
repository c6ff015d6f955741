"""What was kept of studies and trials: as values, in words, and held against other rules."""
