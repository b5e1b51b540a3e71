"""Support code that does not depend on tasks or models: errors, files, signals, progress, devices, loggers and flags.

It imports no other room of nmbench.
"""

__all__ = ["cli", "devices", "errors", "files", "interrupts", "libraries", "loggers", "progress", "terminal"]
