from __future__ import annotations

import ast
import re
import shlex
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import pairwise
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomllib")

ROOT = Path(__file__).parent.parent
PACKAGES = ("core", "tasks", "benchmarks", "tests")
TASKS = sorted(path.parent.name for path in (ROOT / "tasks").glob("*/__main__.py"))
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("tasks/*/README.md"), *ROOT.glob("docs/*.md")]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def project() -> dict[str, object]:
    content: dict[str, dict[str, object]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return content["project"]


# Sizes


def test_files_are_short() -> None:
    lines = {name(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert len(lines) > 50, "this test looks at nothing"
    assert not {path: size for path, size in lines.items() if size > 400}


def test_functions_are_short() -> None:
    sizes = {
        f"{name(path)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    }
    assert len(sizes) > 200, "this test looks at nothing"
    assert not {function: size for function, size in sizes.items() if size > 60}


# Who imports whom


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}: imports are absolute here"
            assert node.module is not None
            yield node.module


def test_tasks_import_no_other_task() -> None:
    crossings = {
        (name(path), module)
        for path in SOURCES
        if path.is_relative_to(ROOT / "tasks")
        for module in imported_modules(path)
        if module.split(".")[0] == "tasks" and module.split(".")[1:2] != [path.relative_to(ROOT / "tasks").parts[0]]
    }
    assert not crossings


def declared_dependencies() -> set[str]:
    """Names of the distributions in pyproject.toml, those of the extras for users included."""
    listed = project()
    dependencies, extras = listed["dependencies"], listed["optional-dependencies"]
    assert isinstance(dependencies, list)
    assert isinstance(extras, dict)
    optional = [each for name, listed in extras.items() if name != "dev" for each in listed]
    return {re.split(r"[\[<>=!~ ]", each)[0].lower() for each in [*dependencies, *optional]}


def test_every_import_of_the_product_is_declared() -> None:
    distributions = packages_distributions()
    product = [path for path in SOURCES if path.relative_to(ROOT).parts[0] in ("core", "tasks")]
    imported = {module.split(".")[0] for path in product for module in imported_modules(path)}
    third_party = imported - set(sys.stdlib_module_names) - set(PACKAGES)
    assert "torch" in third_party, "this test looks at nothing"
    declared = declared_dependencies()
    undeclared = {
        module
        for module in third_party
        if not {each.lower().replace("_", "-") for each in distributions.get(module, [module])} & declared
    }
    assert not undeclared, "add them to dependencies in pyproject.toml"


# What the pages say


def shell_lines(page: Path) -> Iterator[str]:
    """The commands in a page's shell blocks: continued lines joined, prompts and comments taken off."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```(?:bash|sh|shell|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            command = line.strip().removeprefix("$ ")
            if command and not command.startswith("#"):
                yield command


COMMANDS = [(page, command) for page in PAGES for command in shell_lines(page)]


def words(command: str) -> list[str]:
    return shlex.split(command, comments=True)


def command_id(value: object) -> str:
    return name(value) if isinstance(value, Path) else str(value)


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=command_id)
def test_command_of_a_page_names_what_exists(page: Path, command: str) -> None:
    parts = words(command)
    for before, word in pairwise(parts):
        if before == "-m" and word.split(".")[0] in ("tasks", "benchmarks"):
            module = ROOT.joinpath(*word.split("."))
            assert (module / "__main__.py").exists() or module.with_suffix(".py").exists(), f"no module {word}"
        if before == "--config":
            assert (ROOT / word).is_file(), f"no file {word}"
        if before == "make" and parts[0] == "make" and "=" not in word:
            assert word in make_targets(), f"no target {word} in the Makefile"


def test_readme_has_the_commands_that_ci_runs() -> None:
    commands = {" ".join(words(command)) for command in shell_lines(ROOT / "README.md")}
    assert {"make demo", "make test"} <= commands
    script = (ROOT / ".ci" / "run").read_text()
    for target in ("check", "test", "demo"):
        assert f"make {target} VENV=" in script


def test_readme_shows_every_task() -> None:
    commands = " ".join(shell_lines(ROOT / "README.md"))
    assert TASKS
    for task in TASKS:
        assert f"python -m tasks.{task} fit" in commands


@pytest.mark.parametrize("task", TASKS)
def test_task_has_its_files(task: str) -> None:
    for path in (
        f"configs/{task}/default.yaml",
        f"tasks/{task}/module.py",
        f"tasks/{task}/README.md",
        f"tests/tasks/{task}",
    ):
        assert (ROOT / path).exists(), path


def test_changelog_has_the_version() -> None:
    assert f"## [{project()['version']}]" in (ROOT / "CHANGELOG.md").read_text()


def test_licence_is_the_declared_one() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert project()["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
