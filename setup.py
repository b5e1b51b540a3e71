"""Packaging: tasks/ and baselines/ are beside nmbench/ in a checkout, and are installed inside it."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"', (ROOT / "nmbench/__init__.py").read_text(), re.M).group(1)

setup(
    name="nmbench",
    version=VERSION,
    description="Recurrent networks with neuromodulation and their rivals, compared under equal conditions",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[*find_packages(include=["nmbench", "nmbench.*"]), "nmbench.tasks", "nmbench.baselines"],
    package_dir={"nmbench": "nmbench", "nmbench.tasks": "tasks", "nmbench.baselines": "baselines"},
    package_data={
        "nmbench.tasks": ["testsets/*.npz", "testsets/*.json"],
        "nmbench.baselines": ["tuned/*.json"],
        "nmbench.paper.ledger": ["templates/*"],
        "nmbench.report.page": ["templates/*"],
    },
    install_requires=[
        "absl-py>=2.1",
        "dm-haiku>=0.0.16",
        "dm-tree>=0.1.9",
        "jax>=0.8",
        "numpy>=2.1",
        "optax>=0.2.4",
        "pandas>=2.2.3",
        "pyyaml>=6.0.2",
        "safetensors>=0.5",
        "scipy>=1.14.1",
        "tabulate>=0.9",
        "tqdm>=4.66",
    ],
    extras_require={
        "benchmark": ["matplotlib>=3.8", "torch>=2.4"],
        "examples": [
            "equinox>=0.11.10",
            "flax>=0.10.2",
            "ipykernel>=6.29",
            "matplotlib>=3.8",
            "nbclient>=0.10",
            "nbformat>=5.10",
        ],
        "report": ["jinja2>=3.1", "matplotlib>=3.9.2"],
        "slurm": ["submitit>=1.5"],
        "tensorboard": ["tensorboard>=2.16"],
        "wandb": ["wandb>=0.20"],
        "test": [
            "build",
            "equinox>=0.11.10",
            "flax>=0.10.2",
            "hypothesis>=6.100",
            "ipykernel>=6.29",
            "jinja2>=3.1",
            "matplotlib>=3.8",
            "nbclient>=0.10",
            "nbformat>=5.10",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "selenium>=4.20",
            "submitit>=1.5",
            "tensorboard>=2.16",
            "uv>=0.5",
            "wandb>=0.20",
        ],
        "dev": ["import-linter>=2.17", "pre-commit", "pyright[nodejs]", "ruff>=0.12"],
    },
    entry_points={"console_scripts": ["nmbench = nmbench.__main__:main"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
