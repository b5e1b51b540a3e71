"""Execute the notebooks in examples/ and store their outputs.

  pip install -e '.[examples]'
  python docs/notebooks.py

`first_model.ipynb` is edited by hand. The other notebooks have the cells of scripts in docs/gallery, so edit those.
"""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile

DOCS = pathlib.Path(__file__).resolve().parent
EXAMPLES = DOCS.parent / "examples"
sys.path.insert(0, str(DOCS))

from maker import gallery  # noqa: E402

HAND_WRITTEN = ("first_model",)
FROM_GALLERY = ("inside_a_network", "compare_two_files")
# The first cell of a notebook that is made from a script.
_NEW_FOLDER = """# The next cells write to a new folder, not to the clone.
import os
import tempfile

os.chdir(tempfile.mkdtemp(prefix="nmbench-"))"""


def source(name: str):
    """The notebook of this name without outputs."""
    import nbformat

    if name in HAND_WRITTEN:
        notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", 4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.update(outputs=[], execution_count=None)
        return notebook
    script = (DOCS / "gallery" / f"{name}.py").read_text(encoding="utf-8")
    title, *cells = gallery.cells(script)
    make = {True: nbformat.v4.new_markdown_cell, False: nbformat.v4.new_code_cell}
    cells = [make[cell.markdown](cell.source) for cell in (title, gallery.Cell(False, _NEW_FOLDER), *cells)]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def execute(notebook) -> None:
    """Execute all cells in the folder examples/; an exception in a cell is raised here."""
    import nbclient

    resources = {"metadata": {"path": str(EXAMPLES)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources, record_timing=False, coalesce_streams=True).execute()


def main() -> int:
    import nbformat

    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(DOCS.parent), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        for name in (*HAND_WRITTEN, *FROM_GALLERY):
            notebook = source(name)
            execute(notebook)
            nbformat.write(notebook, EXAMPLES / f"{name}.ipynb")
            print(f"examples/{name}.ipynb")
    return 0


if __name__ == "__main__":
    sys.exit(main())
