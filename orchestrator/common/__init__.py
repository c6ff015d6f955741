"""What every layer uses: errors, settings, checked values, files, signals, formatting."""
