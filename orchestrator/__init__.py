"""The control plane: asks for trials, folds their events, decides, commits, and only then acts."""
