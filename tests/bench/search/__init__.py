"""How few epochs each pruning rule needs to a good configuration, on recorded learning curves."""
