"""Rewrite the golden parameter shapes. Run python tests/golden/regenerate.py, then check every change in the diff."""

import json
import pathlib
import runpy

if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    table = runpy.run_path(str(here.parent / "experiments" / "test_sizing.py"))["golden_now"]()
    # One line per model makes diffs readable.
    lines = [f"{json.dumps(name)}: {json.dumps(record)}" for name, record in table.items()]
    (here / "parameter_shapes.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
