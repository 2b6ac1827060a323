"""What is shown: progress, logs, summary, metrics, reports."""
