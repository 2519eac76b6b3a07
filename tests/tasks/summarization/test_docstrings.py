from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tasks.summarization.docstrings import PACKAGES, Document, Module, clean, find_modules, read_documents
from tests.core.tiny import ROOT

SOURCE = '''"""What the module is for.

It has two lines
of description.
"""
raise RuntimeError("imported")

class Reader:
    """Reads *fast* from ``disk``.

    Args:
        path: a :class:`~pathlib.Path`.

    >>> Reader("x")
    <Reader>
    """

    def read(self):
        """Reads one line,
        and returns it.

        See `seek`.
        """

    async def seek(self):
        "No description."

if True:
    def later():
        """Is found below a condition.

        As functions for other systems are.
        """
'''


def module_of(path: Path) -> Module:
    return Module("package/file.py", path, path.stat().st_size)


def test_docstrings_in_the_order_of_the_file_without_importing_it(tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text(SOURCE)
    assert read_documents(module_of(path)) == [
        Document("package/file.py", "It has two lines\nof description.", "What the module is for."),
        Document("package/file.py", "Args:\npath: a pathlib.Path.", "Reads fast from disk."),
        Document("package/file.py", "See seek.", "Reads one line, and returns it."),
        Document("package/file.py", "", "No description."),
        Document("package/file.py", "As functions for other systems are.", "Is found below a condition."),
    ]


@pytest.mark.parametrize("source", ['"""A template.\n\nFor {{ name }}\n"""\ndef {{ name }}(): pass', "x = 1", ""])
def test_what_is_no_source_or_has_no_docstring_has_none(tmp_path: Path, source: str) -> None:
    path = tmp_path / "file.py"
    path.write_text(source)
    assert read_documents(module_of(path)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a ``b`` c", "a b c"),
        ("*args and **kwargs stay", "*args and **kwargs stay"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        (":func:`open <io.open>` and :py:meth:`~a.B.c`", "open and a.B.c"),
        ("Parameters\n----------\nx : int", "Parameters\nx : int"),
        ("One.\n\n.. note:: code\n   more\n\nTwo.", "One.\nTwo."),
        ("One.\n\nExamples\n--------\n>>> 1 + 1\n2", "One."),
        ("One.\n\nFor example::\n\n    >>> 1 + 1\n    2\n", "One."),
        ("The end of a sentence stays.", "The end of a sentence stays."),
        ("", ""),
    ],
)
def test_prose_is_kept(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_modules_of_the_environment() -> None:
    modules = find_modules()
    names = [module.name for module in modules]
    assert names == sorted(set(names))
    assert {"python/json/decoder.py", "torch/nn/modules/conv.py", "pillow/Image.py"} <= set(names)
    assert not [name for name in names if "/tests/" in name or "site-packages" in name or "__pycache__" in name]
    found = next(module for module in modules if module.name == "python/json/decoder.py")
    summaries = [document.summary for document in read_documents(found)]
    assert "Simple JSON <https://json.org> decoder" in summaries


def test_nothing_is_imported() -> None:
    before = set(sys.modules)
    find_modules()
    assert not {"tensorboard", "torchvision", "matplotlib.pyplot"} & (set(sys.modules) - before)


def test_all_packages_are_declared_dependencies() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    required = text[text.index("dependencies = [") : text.index("[project.optional-dependencies]")]
    assert set(PACKAGES) <= set(re.findall(r'^    "([a-z-]+)', required, re.MULTILINE))
