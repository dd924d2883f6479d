"""python -m analysis.notebooks.execute [name ...]: runs notebooks from a fresh kernel and keeps their outputs.

The notebooks are committed with outputs. Each carries the hash of the code that made them, so that a test can tell
when code and outputs have parted. Needs the `dev` extra.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
TIMEOUT_S = 300  # of a cell


def notebook_paths() -> list[Path]:
    """The notebooks, in the order in which they are to be read."""
    return sorted(FOLDER.glob("*.ipynb"))


def execute(path: Path, folder: Path) -> NotebookNode:
    """The notebook with new outputs; it runs in `folder` and imports this checkout, whatever else is installed.

    Raises:
        nbclient.exceptions.CellExecutionError: for the first cell that fails, with its traceback.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, coalesce_streams=True, timeout=TIMEOUT_S, resources={"metadata": {"path": str(folder)}}
    )
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    # what the caller has set for Weights & Biases would speak in the outputs
    own = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    client.execute(env=own | {"PYTHONPATH": os.pathsep.join(filter(None, paths))})
    return _tidied(notebook, folder)


def code_hash(notebook: NotebookNode) -> str:
    """Of all code cells, in order."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()


def _tidied(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Without what differs from one machine to the next: progress bars, times of cells, the kernel, paths."""
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", NotebookNode()
        if cell.cell_type != "code":
            continue
        kept = [output for output in cell.outputs if output.get("name") != "stderr"]
        cell.outputs = [_smaller(_without_path(output, folder)) for output in kept]
    kernel = NotebookNode(name="python3", display_name="Python 3", language="python")
    notebook.metadata = NotebookNode(kernelspec=kernel, code_sha256=code_hash(notebook))
    return notebook


def _without_path(output: NotebookNode, folder: Path) -> NotebookNode:
    for place in (output, output.get("data", {})):
        for key, text in place.items():
            if isinstance(text, str) and key in ("text", "text/plain", "text/html"):
                place[key] = re.sub(f"{re.escape(str(folder))}/?|{re.escape(str(ROOT))}/?", "", text)
    return output


def _smaller(output: NotebookNode) -> NotebookNode:
    """Figures in 128 colours: a third of the bytes, and no difference to see."""
    data = output.get("data", {})
    if "image/png" in data:
        image = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
        written = io.BytesIO()
        image.quantize(128, dither=Image.Dither.NONE).save(written, format="PNG", optimize=True)
        data["image/png"] = base64.b64encode(written.getvalue()).decode() + "\n"
    return output


def main(names: list[str]) -> None:
    """Runs the named notebooks (`1_generate_and_look`), or all, in one scratch folder, and writes them back."""
    paths = [FOLDER / f"{name}.ipynb" for name in names] or notebook_paths()
    with tempfile.TemporaryDirectory() as scratch:
        for path in paths:
            nbformat.write(execute(path, Path(scratch)), path)


if __name__ == "__main__":
    main(sys.argv[1:])
