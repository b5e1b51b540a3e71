"""The Slurm executor, built on submitit: settings (flags), commands of Slurm, the executor, and its part on the node.

Public: `executor` (SlurmExecutor) and `settings`.
"""

__all__ = ["executor", "settings"]
