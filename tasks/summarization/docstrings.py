"""Docstrings of Python modules as documents: found on the disk, parsed and cleaned, never imported."""

from __future__ import annotations

import ast
import platform
import re
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path

# Dependencies that everybody who runs polyseq has, by the name of their distribution and of their package.
PACKAGES = {
    "babel": "babel",
    "datasets": "datasets",
    "jsonargparse": "jsonargparse",
    "lightning": "lightning",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "pillow": "PIL",
    "rich": "rich",
    "tensorboard": "tensorboard",
    "torch": "torch",
    "torchaudio": "torchaudio",
    "torchmetrics": "torchmetrics",
    "torchvision": "torchvision",
    "transformers": "transformers",
}
STANDARD_LIBRARY = "python"
# Folders with other people's packages, with tests, or without prose.
SKIPPED = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "testing",
    "idle_test",
    "idlelib",
    "lib2to3",
    "turtledemo",
    "ensurepip",
    "__pycache__",
    "_vendor",
    "_bundled",
    "_inductor",
    "_dynamo",
    "_internal",
}
REPETITIVE = {"transformers/models"}  # hundreds of models with the same docstrings
LIKELY = re.compile(rb'(?:"""|\'\'\')[^\n]{10,}\r?\n[ \t]*\r?\n')  # a first line and an empty one: worth parsing
PARENTS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.If, ast.Try, ast.With)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

CODE = re.compile(r"^\s*(?:>>>|\.\.\.(?:\s|$)|\.\. |```|~~~)")  # a prompt, a directive, a fence
RULE = re.compile(r"^\s*([-=~^*_#+`])\1{2,}\s*$")  # the line below a heading
ROLE = re.compile(r":[a-z:]+:`~?([^`<>]+?)(?:\s*<[^`]*>)?`")  # :class:`~torch.Tensor` or :doc:`text <target>`
HEADING = re.compile(r"(?:[A-Z]\w*(?: \w+)?):*|(?:.*\b(?:[Ee]xamples?|[Uu]sage)\b.*)::?")
MARKUP = re.compile(r"(?<![\w`])(`{1,2}|\*{1,2})(?=\S)([^`*\n]+?)(?<=\S)\1(?![\w`])")


@dataclass(frozen=True)
class Module:
    """A Python source file.

    Attributes:
        name: its place, as in "python/json/decoder.py".
        path: where it is.
        size: in bytes.
    """

    name: str
    path: Path
    size: int


@dataclass(frozen=True)
class Document:
    """A docstring.

    Attributes:
        module: the name of its module.
        body: all but the first paragraph, cleaned: lines with prose, without empty ones.
        summary: the first paragraph, cleaned, in one line.
    """

    module: str
    body: str
    summary: str


def installed() -> dict[str, str]:
    """The versions of Python and of the packages above that are there, by name."""
    found = {STANDARD_LIBRARY: platform.python_version()}
    for distribution in PACKAGES:
        try:
            found[distribution] = version(distribution)
        except PackageNotFoundError:  # a tree without some of its dependencies: its corpus is smaller
            continue
    return found


def find_modules() -> list[Module]:
    """All modules of the standard library and of the packages above, ordered by name."""
    roots = {STANDARD_LIBRARY: Path(sysconfig.get_path("stdlib"))}
    for distribution, package in PACKAGES.items():
        spec = find_spec(package)  # of a package at the top level: looks for it without importing it
        if spec is not None and spec.submodule_search_locations:
            roots[distribution] = Path(next(iter(spec.submodule_search_locations)))
    modules = [module for name, root in roots.items() for module in _below(root, name)]
    return sorted(modules, key=lambda module: module.name)


def _below(folder: Path, name: str) -> Iterator[Module]:
    for path in folder.iterdir():
        place = f"{name}/{path.name}"
        if path.suffix == ".py" and path.is_file():
            yield Module(place, path, path.stat().st_size)
        elif path.name not in SKIPPED and place not in REPETITIVE and path.is_dir():
            yield from _below(path, place)


def read_documents(module: Module) -> list[Document]:
    """The docstrings of a module, of its classes and of their functions, in the order of the file.

    A file that this Python can't parse has none: packages carry templates and sources for other versions.
    """
    source = module.path.read_bytes()
    if not LIKELY.search(source):
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other people's escapes
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    return [split_docstring(module.name, text) for text in _docstrings(tree)]


def _docstrings(node: ast.AST) -> Iterator[str]:
    if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
        yield text
    for child in getattr(node, "body", ()):
        if isinstance(child, PARENTS):
            yield from _docstrings(child)


def split_docstring(module: str, text: str) -> Document:
    """Takes a docstring apart (PEP 257: a line that sums up, an empty line, the description).

    Where the summing up runs over several lines, it is all of them.
    """
    first, rest = ([*re.split(r"\n\s*\n", cleandoc(text), maxsplit=1), ""])[:2]
    return Document(module, clean(rest), " ".join(clean(first).split()))


def clean(text: str) -> str:
    """Keeps the prose of a text: no examples of code, directives, rules below headings, nor marks of markup.

    A prompt, a fence or a directive takes all lines with it up to the next empty one. Headings that have nothing
    below them any more go too.
    """
    paragraphs = [_prose(paragraph) for paragraph in re.split(r"\n\s*\n", text)]
    lines = [line for paragraph in paragraphs for line in paragraph]
    while lines and HEADING.fullmatch(lines[-1]):
        lines.pop()
    return "\n".join(lines)


def _prose(paragraph: str) -> list[str]:
    kept = []
    for line in paragraph.splitlines():
        if CODE.match(line):
            break
        if not RULE.match(line):
            kept.append(" ".join(MARKUP.sub(r"\2", ROLE.sub(r"\1", line)).split()))
    return [line for line in kept if line]
