"""A soak: a search goes on while everything it stands on is killed, frozen, restarted and wiped; then an account."""
