"""The control plane as it runs: reads the stream, feeds the engines, commits, and only then acts."""
