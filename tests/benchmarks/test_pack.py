"""Packing never drops runs without being asked to."""

import pack
import pytest

from nmbench.results import csv_files, store
from nmbench.support.errors import NmbenchError
from support.rows import diverged


def run(folder, *flags):
    pack.FLAGS.unparse_flags()
    for name in pack.FLAGS:
        pack.FLAGS[name].unparse()
    pack.FLAGS(["pack.py", *flags])
    return pack.main([str(folder)])


def test_runs_of_the_present_files_are_kept(tmp_path):
    out, ids = tmp_path / "rows", []
    for name in ("both", "one"):
        folder = store.Store(tmp_path / name)
        folder.prepare()
        for seed in range(2 if name == "both" else 1):
            row = diverged(seed=seed, run_id=f"rnn.element_finder.matched.s{seed}.0123456789ab")
            folder.write(row, None, {}, [])
            ids.append(row["run_id"])
    assert run(tmp_path / "both", f"--out={out}") == 0
    kept = csv_files.read_csv(out.with_suffix(".csv"))
    with pytest.raises(NmbenchError, match="rows.csv has 1 run that .*one lacks, such as rnn.element_finder.matched.s1"):
        run(tmp_path / "one", f"--out={out}")
    assert csv_files.read_csv(out.with_suffix(".csv")) == kept and len(kept) == 2
    assert run(tmp_path / "one", f"--out={out}", "--replace") == 0
    assert [row["run_id"] for row in csv_files.read_csv(out.with_suffix(".csv"))] == ids[:1]
