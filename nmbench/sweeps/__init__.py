"""Sweeps: grids of experiments. Each experiment is trained in its own process, on this machine or through Slurm.

May import: report, experiments, results, contracts, support. Public: `plan` (make, run), `grid` (SweepRequest), `local` and
`slurm` (executors), `jobs` (Job, JobOutcome), `estimate`, `worker` and `configfile`.
"""

__all__ = ["configfile", "estimate", "grid", "jobs", "local", "plan", "slurm", "worker"]
