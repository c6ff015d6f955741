"""The parts that every layer uses: errors, settings, checked values, files, signals, formatting."""
