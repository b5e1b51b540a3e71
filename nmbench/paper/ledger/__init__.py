"""The publication's claims, each held against measured values: `publication` lists them, `verdicts` judges."""
