"""Pages in a browser: Flower and optuna-dashboard, by default on loopback and behind a password."""
