"""What predictions are worth: evaluation, explanation, metrics, baselines, workload, plots."""
