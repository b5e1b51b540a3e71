"""Write tasks/testsets/croissant.json: the frozen sets described in Croissant, the format of MLCommons for data sets.

  python benchmarks/croissant.py
  python benchmarks/croissant.py --check     # exit code 1 if the file is not current

Everything is computed from the manifest of the sets, the registered tasks and CITATION.cff. A test that runs before a
release validates the file with `mlcroissant`.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

import _checkout  # noqa: F401
import yaml

import nmbench
from nmbench.contracts import frozen_sets
from nmbench.contracts.catalog import TASKS
from nmbench.support import cli, files
from nmbench.support.errors import NmbenchError

ROOT = pathlib.Path(__file__).resolve().parent.parent
SETS = ROOT / "tasks" / "testsets"
FILE = SETS / "croissant.json"
FLAGS = cli.new_flags()
cli.boolean(FLAGS, "check", False, "write nothing; exit code 1 if the file is not current")

# What the arrays of the sets are. B is the number of trials, and a step counts from 0.
MEANINGS = {
    "query": "[B], position of the element to report, 0 to 24",
    "elements": "[25, B], the sequence, whole numbers from -10 to 10",
    "interval": "[B], the interval to reproduce, in steps",
    "t_measure": "[B], step of the first cue, at which the interval begins",
    "t_wait": "[B], step of the second cue, at which the interval ends",
    "t_go": "[B], step of the third cue, at which the ramp begins",
    "task": "[B], 0: delay_pro, 1: delay_anti, 2: memory_pro, 3: memory_anti",
    "theta_in": "[B], angle of the stimulus in radians, from 0 to 2 pi",
    "onset": "[B], first step with the stimulus",
    "offset": "[B], first step after the stimulus; 100 if it stays on",
    "go": "[B], first step of the go epoch",
    "evidence": "[75, B, 2], evidence of motion and colour; the number k stands for (k + 1/2) / 64",
    "context": "[B], the relevant stream, 0: motion, 1: colour",
    "motion": "[B], coherence of motion, positive for right",
    "colour": "[B], coherence of colour, positive for right",
    "pulses": "[100, B, 3], pulses of the three channels, -1, 0 or 1",
    "probed": "[B], the channel whose last output is judged, 0 to 2",
    "held": "[B], steps since the last pulse in the probed channel, at the last step",
}
DESCRIPTION = (
    "Frozen validation and test sets of nmbench, a benchmark for recurrent networks with neuromodulation. A file is a NumPy "
    ".npz without pickled objects and holds the parameters of the trials of one task, as small as possible. The function "
    "unpack of the task in nmbench makes inputs, targets and a mask of them, and `python -m nmbench.export` writes these as "
    "plain arrays. The record set `sets` gives for every file the hash that nmbench verifies at every load and writes into "
    "every row of results; it covers names, types, shapes and bytes of the arrays and does not depend on compression. The "
    "sets are for evaluation and for the choice of parameters only. Training data are drawn by the task."
)
# The terms of Croissant 1.0. A processor of JSON-LD needs them in the file itself.
_TERMS = (
    "citeAs column data dataType equivalentProperty examples extract field fileProperty fileObject fileSet format includes "
    "isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator "
    "source subField transform"
)
_JSON_TERMS = {"data", "examples"}


def describe() -> dict[str, Any]:
    """The contents of the file.

    Raises:
      NmbenchError: an array has no entry in `MEANINGS`, or the manifest has a set that no task has.
    """
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    manifest = frozen_sets.read_manifest(SETS)
    distribution, sets, arrays = [], [], []
    for task in (TASKS.get(entry.name) for entry in TASKS.entries() if entry.origin.startswith("tasks/")):
        for split in task.set_sizes:
            key = frozen_sets.key(task.name, task.version, split)
            entry, name = manifest.pop(key), f"{key}.npz"
            distribution.append(_file(name, f"{split} set of the task {task.name}, version {task.version}: {task.summary}"))
            sets.append(
                {
                    "file": name, "task": task.name, "version": task.version, "split": split, "trials": entry["n"],
                    "steps": task.spec.steps, "sha256_of_arrays": entry["sha256"], "source": task.citation,
                }
            )  # fmt: skip
            for array, one in entry["arrays"].items():
                if array not in MEANINGS:
                    raise NmbenchError(f"the array {array!r} of {key} has no meaning; add it to MEANINGS in {__file__}")
                shape = json.dumps(one["shape"])
                line = {"file": name, "array": array, "dtype": one["dtype"], "shape": shape, "meaning": MEANINGS[array]}
                arrays.append(line)
    if manifest:
        raise NmbenchError(f"{SETS / frozen_sets.MANIFEST} has sets that no task has: {', '.join(manifest)}")
    found = {
        "@context": _context(),
        "@type": "sc:Dataset",
        "name": "nmbench_frozen_sets",
        "description": DESCRIPTION,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "citeAs": _cite(citation),
        "license": f"https://spdx.org/licenses/{citation['license']}.html",
        "version": nmbench.__version__,
        "creator": [{"@type": "sc:Organization", "name": author["name"]} for author in citation["authors"]],
        "keywords": citation["keywords"],
        "distribution": distribution,
        "recordSet": [
            _records("sets", "One line for every file.", sets),
            _records("arrays", "One line for every array of a file.", arrays),
        ],
    }
    if "date-released" in citation:
        found["datePublished"] = str(citation["date-released"])
    if "repository-code" in citation:
        found["url"] = citation["repository-code"]
    return found


def _context() -> dict[str, Any]:
    terms = {name: f"cr:{name}" for name in _TERMS.split()}
    terms |= {name: {"@id": f"cr:{name}", "@type": "@json"} for name in _JSON_TERMS}
    terms["dataType"] = {"@id": "cr:dataType", "@type": "@vocab"}
    croissant = "http://mlcommons.org/croissant/"
    prefixes = {"cr": croissant, "rai": f"{croissant}RAI/", "sc": "https://schema.org/", "dct": "http://purl.org/dc/terms/"}
    return {"@language": "en", "@vocab": "https://schema.org/", **prefixes, "conformsTo": "dct:conformsTo", **terms}


def _cite(citation: dict[str, Any]) -> str:
    authors = ", ".join(author["name"] for author in citation["authors"])
    return f"{authors}. {citation['title']}. Version {citation['version']}."


def _file(name: str, description: str) -> dict[str, Any]:
    content = (SETS / name).read_bytes()
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "description": description,
        "contentUrl": name,
        "contentSize": f"{len(content)} B",
        "encodingFormat": "application/x-npz",
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _records(name: str, description: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """A record set that contains its data."""
    kinds = {str: "sc:Text", int: "sc:Integer"}
    fields = [
        {"@type": "cr:Field", "@id": f"{name}/{field}", "name": f"{name}/{field}", "dataType": kinds[type(value)]}
        for field, value in lines[0].items()
    ]
    data = [{f"{name}/{field}": value for field, value in line.items()} for line in lines]
    return {
        "@type": "cr:RecordSet", "@id": name, "name": name, "description": description, "field": fields, "data": data,
    }  # fmt: skip


def text_of() -> str:
    return f"{json.dumps(describe(), indent=1)}\n"


def is_current() -> bool:
    return FILE.is_file() and FILE.read_text(encoding="utf-8") == text_of()


def main() -> int:
    if FLAGS.check:
        current = is_current()
        print(f"{FILE.name} is {'current' if current else 'not current; run python benchmarks/croissant.py'}")
        return 0 if current else 1
    files.replace(FILE, text_of().encode())
    print(FILE)
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "croissant.py")
