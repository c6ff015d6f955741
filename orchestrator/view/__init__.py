"""What a person sees of a running study: live in a terminal, as lines in a log, and a summary at the end."""
