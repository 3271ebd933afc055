# SPDX-License-Identifier: Apache-2.0
"""The notebook as a page: executed now, so that what it shows is what this version does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

SECONDS = 300  # for one cell


def pages(path: Path) -> Iterator[tuple[str, str]]:
    """The path below ``docs`` and the text of the page.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised.
    """
    import nbformat
    from nbconvert import MarkdownExporter
    from nbconvert.preprocessors import ExecutePreprocessor

    read = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as folder:
        executor = ExecutePreprocessor(timeout=SECONDS, kernel_name="python3")
        executed, resources = executor.preprocess(read, {"metadata": {"path": folder}})
    for cell in executed.cells:  # what libraries log while they start says nothing here
        cell.outputs = [one for one in cell.get("outputs", ()) if one.get("name") != "stderr"]
    text, _ = MarkdownExporter().from_notebook_node(executed, resources)
    yield path.with_suffix(".md").name, text
