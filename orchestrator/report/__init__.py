"""The report of a study: one HTML page and its plots as PNG. Facts are read once; everything after that is pure."""
