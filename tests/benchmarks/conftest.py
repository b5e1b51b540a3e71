"""Put benchmarks/ on the path, because its scripts import each other by their plain names."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "benchmarks"))
