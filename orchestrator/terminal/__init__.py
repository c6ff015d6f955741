"""What people see in a terminal, and the same as JSON."""
