"""A model and a task that nmbench finds through entry points."""
