"""Tasks, one file per family. Files are found by their `register_task` calls; `testsets/` holds the frozen arrays."""
