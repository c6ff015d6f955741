"""Pages in a browser: Flower and optuna-dashboard, on loopback and behind a password unless told otherwise."""
