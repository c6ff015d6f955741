"""A whole search on one machine, in the foreground: embedded server, worker and control plane."""
