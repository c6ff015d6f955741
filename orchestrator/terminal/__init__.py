"""The output of commands: text for a terminal, and the same as JSON."""
