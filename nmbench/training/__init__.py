"""The compiled trainer: phases, optimiser, state, checkpoints, stored parameters and predictions.

May import: results, contracts, support. Public: `trainer` (Trainer, TrainingSetup), `checkpoints` (Checkpoints), `snapshot`,
`parameter_files` (save_params, load_params), `prediction` (predictor), `phase_program` and `optimizer` (for `conformance`).
"""

__all__ = ["checkpoints", "optimizer", "parameter_files", "phase_program", "prediction", "snapshot", "trainer"]
