"""The report of a study: one HTML page and its plots as PNG. ``load`` reads the facts; all the rest is pure."""
