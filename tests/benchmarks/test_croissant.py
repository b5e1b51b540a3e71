"""The description of the frozen sets in Croissant, and the citation, are current and valid."""

import hashlib
import json
import pathlib
import shutil
import subprocess
import sys

import croissant
import numpy as np
import pytest

from nmbench.contracts import frozen_sets
from nmbench.support.errors import NmbenchError

ROOT = pathlib.Path(__file__).parents[2]
SETS = ROOT / "tasks" / "testsets"


def records(name):
    """The lines of a record set of the committed file, field to value."""
    found = json.loads((SETS / "croissant.json").read_text())
    (one,) = (one for one in found["recordSet"] if one["@id"] == name)
    return [{field.removeprefix(f"{name}/"): value for field, value in line.items()} for line in one["data"]]


def test_the_committed_file_is_current():
    assert croissant.is_current(), "run python benchmarks/croissant.py"


def test_the_committed_file_describes_every_file_and_every_array():
    found = json.loads((SETS / "croissant.json").read_text())
    files = {one["contentUrl"]: one["sha256"] for one in found["distribution"]}
    assert files == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in SETS.glob("*.npz")}
    assert {one["file"]: one["sha256_of_arrays"] for one in records("sets")} == {
        f"{key}.npz": entry["sha256"] for key, entry in frozen_sets.read_manifest(SETS).items()
    }
    described = {(one["file"], one["array"]): (one["dtype"], json.loads(one["shape"])) for one in records("arrays")}
    stored = {}
    for path in SETS.glob("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            stored |= {(path.name, name): (arrays[name].dtype.name, list(arrays[name].shape)) for name in arrays.files}
    assert described == stored and all(one["meaning"] for one in records("arrays"))


def test_an_array_needs_a_meaning(monkeypatch):
    monkeypatch.delitem(croissant.MEANINGS, "query")
    with pytest.raises(NmbenchError, match="the array 'query' of element_finder-v1-validation has no meaning"):
        croissant.describe()


@pytest.fixture(scope="module")
def validators(tmp_path_factory):
    """The folder of the programs mlcroissant and cffconvert, in an environment of their own.

    They would change the versions of other packages: cffconvert needs jsonschema below version 4.
    """
    folder = tmp_path_factory.mktemp("validators")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "pip", "install", "-q", "mlcroissant", "cffconvert"], check=True)
    return folder / "bin"


def validate(validators, path):
    command = [validators / "mlcroissant", "validate", f"--jsonld={path}"]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.release
def test_mlcroissant_accepts_the_file_and_reads_its_records(validators, tmp_path):
    done = validate(validators, SETS / "croissant.json")
    assert done.returncode == 0 and "error(s)" not in done.stderr and "not standard" not in done.stderr, done.stderr
    # The date of the release and the address of the repository may be missing before the first release.
    warnings = [line for line in done.stderr.splitlines() if line.startswith("  -  ")]
    assert all("datePublished" in line or "schema.org/url" in line for line in warnings), warnings
    command = [validators / "mlcroissant", "load", f"--jsonld={SETS / 'croissant.json'}", "--record_set=arrays"]
    loaded = subprocess.run([*command, "--num_records=1000"], capture_output=True, text=True, check=True)
    assert (loaded.stdout + loaded.stderr).count("'arrays/meaning'") == len(records("arrays"))
    # The check can fail.
    shutil.copytree(SETS, tmp_path / "sets")
    broken = json.loads((SETS / "croissant.json").read_text())
    del broken["distribution"][0]["sha256"], broken["license"]
    (tmp_path / "sets" / "croissant.json").write_text(json.dumps(broken))
    done = validate(validators, tmp_path / "sets" / "croissant.json")
    assert done.returncode != 0 and "sha256" in done.stderr


@pytest.mark.release
def test_the_citation_is_valid_and_zenodo_can_read_it(validators):
    command = [validators / "cffconvert", "--infile", ROOT / "CITATION.cff"]
    subprocess.run([*command, "--validate"], check=True, capture_output=True)
    made = subprocess.run([*command, "--format", "zenodo"], check=True, capture_output=True, text=True)
    found = json.loads(made.stdout)
    assert found["creators"] and found["title"].startswith("nmbench") and found["license"]["id"] == "Apache-2.0"
    assert found["version"] and found["description"] and found["keywords"]
