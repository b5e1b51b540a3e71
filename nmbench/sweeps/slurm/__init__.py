"""The Slurm executor, built on submitit: flags, calls of Slurm's commands, the executor, and the code on the node.

Public: `executor` (SlurmExecutor) and `settings`.
"""

__all__ = ["executor", "settings"]
