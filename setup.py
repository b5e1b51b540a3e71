"""Packages and version; the other metadata are in pyproject.toml.

tasks/ and baselines/ are beside nmbench/ in a checkout, and are installed inside it.
"""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"', (ROOT / "nmbench/__init__.py").read_text(), re.M).group(1)

setup(
    version=VERSION,
    packages=[*find_packages(include=["nmbench", "nmbench.*"]), "nmbench.tasks", "nmbench.baselines"],
    package_dir={"nmbench": "nmbench", "nmbench.tasks": "tasks", "nmbench.baselines": "baselines"},
    package_data={
        "nmbench.tasks": ["testsets/*.npz", "testsets/*.json"],
        "nmbench.baselines": ["tuned/*.json"],
        "nmbench.paper.ledger": ["templates/*"],
        "nmbench.report.page": ["templates/*"],
        "nmbench.submissions": ["*.toml"],
        "nmbench.questions": ["*.toml"],
    },
)
