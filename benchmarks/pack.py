"""Pack the runs of a results folder into two files, OUT.csv with the rows and OUT.safetensors with the rest; or unpack them.

python benchmarks/pack.py results/board_runs/element_finder --out=results/board/element_finder
python benchmarks/pack.py results/board_runs/element_finder --unpack=results/board/element_finder
"""

from __future__ import annotations

import pathlib

import _checkout  # noqa: F401

from nmbench.results import csv_files, packs, store
from nmbench.support import cli, files
from nmbench.support.errors import NmbenchError

FLAGS = cli.new_flags()
cli.string(FLAGS, "out", None, "path of both files without .csv and .safetensors, to pack")
cli.string(FLAGS, "unpack", None, "path of both files; their runs are stored in FOLDER, unless it has them")
cli.boolean(FLAGS, "replace", False, "drop the runs of the present files that FOLDER lacks")


def main(operands: list[str]) -> int:
    if len(operands) != 1 or bool(FLAGS.out) == bool(FLAGS.unpack):
        raise NmbenchError("name one results folder, and either --out=PATH or --unpack=PATH")
    if FLAGS.unpack:
        table = pathlib.Path(f"{FLAGS.unpack}.csv")
        new = packs.unpack(csv_files.read_csv(table), packs.beside(table), pathlib.Path(operands[0]))
        print(f"{new} new runs in {operands[0]}")
        return 0
    out = pathlib.Path(FLAGS.out)
    if not out.parent.is_dir():
        raise NmbenchError(f"--out={out}: no such folder {out.parent}")
    rows = store.read(operands[0])
    table = pathlib.Path(f"{out}.csv")
    if not FLAGS.replace and table.is_file():
        lost = {row["run_id"] for row in csv_files.read_csv(table)} - {row["run_id"] for row in rows}
        if lost:
            raise NmbenchError(
                f"{table} has {len(lost)} run{'s' * (len(lost) > 1)} that {operands[0]} lacks, such as {min(lost)}; "
                f"--unpack={out} adds them to it, and --replace drops them"
            )
    size = packs.pack(rows, pathlib.Path(operands[0]), packs.beside(table))
    files.replace(table, csv_files.to_csv(rows).encode())
    print(f"{len(rows)} rows in {out}.csv, {size / 1e6:.1f} MB of parameters and scores in {out}.safetensors")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "pack.py", operands="FOLDER")
