"""The read half of the storage: progress, trials, history, logs, replay, summaries."""
