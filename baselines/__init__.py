"""Baselines, one file per model. Files are found by their `register_baseline` calls; `tuned/` holds tuning records."""
