"""The pure core: events and state in, rows to write and actions out. No clock, no client, no database."""
