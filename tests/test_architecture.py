"""The rules of the house, checked: direction of imports, cycles, names of modules, sizes.

Standard library only, and on the source text, so that it also sees code that no test imports.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS = [
    "native",
    "blockstore",
    "archipelago",
    "volumes",
    "compute_glue",
    "pithos_api",
]
"""Lowest first. A package may import those before it, never those behind it."""

LIBRARIES = {"blockstore", "archipelago"}
"""Used from other packages only through the names that their `__init__` exports."""

WIRES = {"pithos_api.wire", "volumes.nbd.wire"}
"""All that `clients` may import of us."""

PRODUCT = [*FLOORS, "clients"]
NAMES_FORBIDDEN = {"utils", "util", "common", "helpers", "misc", "base", "core", "lib", "tools"}
EDGES = ("clients.cli.", "pithos_api.operator.", ".__main__")
"""Where the environment and the command line may be read."""

FUNCTION_LINES_MAX = 70
FUNCTION_LINES_LONG = 50
FUNCTIONS_LONG_SHARE_MAX = 0.03
FILE_LINES_MAX = 700
FILE_LINES_WATCHED = 500

FILE_LINES_RATCHET: dict[str, int] = {}
"""Files above FILE_LINES_WATCHED lines, with the size they were last allowed to grow to."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(*packages: str, suffixes: tuple[str, ...] = (".py",)) -> list[Path]:
    return sorted(
        path
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.suffix in suffixes and "__pycache__" not in path.parts
    )


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


MODULES = {module_name(path): path for path in sources(*PRODUCT)} | {
    module_name(path): path for path in sources("native", suffixes=(".pyx",))
}


def imported_names(tree: ast.Module) -> Iterator[str]:
    """Every module named by an import; `from a import b` gives a.b where that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def own_imports(path: Path) -> set[str]:
    return {name for name in imported_names(parse(path)) if name.split(".")[0] in PRODUCT}


PYTHON = {name: path for name, path in MODULES.items() if path.suffix == ".py"}


@pytest.mark.parametrize("module", PYTHON)
def test_imports_point_downward(module: str) -> None:
    package = module.split(".")[0]
    for target in own_imports(PYTHON[module]):
        other = target.split(".")[0]
        if other == package:
            continue
        if package == "clients":
            assert target in WIRES, f"clients may import only {sorted(WIRES)}, not {target}"
            continue
        assert other != "clients", f"{module} imports {target}: nobody imports the clients"
        assert FLOORS.index(other) < FLOORS.index(package), f"{module} imports {target}: upward"


@pytest.mark.parametrize("module", PYTHON)
def test_libraries_are_used_through_their_root(module: str) -> None:
    package = module.split(".")[0]
    for target in own_imports(PYTHON[module]):
        other = target.split(".")[0]
        assert other == package or other not in LIBRARIES or target == other, (
            f"{module} imports {target}: use what {other} exports"
        )


def test_submodules_do_not_import_their_own_package_root() -> None:
    for module, path in PYTHON.items():
        package = module.split(".")[0]
        if module != package and package in LIBRARIES:
            assert package not in own_imports(path), f"{module} imports the root of its package"


def test_no_import_cycles() -> None:
    graph = {name: own_imports(path) & set(PYTHON) - {name} for name, path in PYTHON.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name in done:
            return
        for target in sorted(graph[name]):
            visit(target, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_nobody_imports_tests_or_bench() -> None:
    for module, path in PYTHON.items():
        for target in imported_names(parse(path)):
            assert target.split(".")[0] not in {"tests", "bench"}, f"{module} imports {target}"


def test_modules_are_named_for_what_they_hold() -> None:
    for module in MODULES:
        assert not NAMES_FORBIDDEN & set(module.split(".")), f"{module}: name the concept"


def test_only_the_edges_read_the_environment_and_the_command_line() -> None:
    for module, path in PYTHON.items():
        if any(edge in f"{module}." if edge[0] != "." else module.endswith(edge) for edge in EDGES):
            continue
        tree = parse(path)
        assert "argparse" not in set(imported_names(tree)), f"{module} imports argparse"
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "argv"}:
                owner = node.value.id if isinstance(node.value, ast.Name) else ""
                assert owner not in {"os", "sys"}, (
                    f"{module}:{node.lineno} reads {owner}.{node.attr}"
                )


def test_clients_load_nothing_of_the_server() -> None:
    """Importing the whole client in a fresh process brings in the wires and their packages only."""
    names = sorted(name for name in PYTHON if name.split(".")[0] == "clients")
    code = f"import sys\nfor name in {names!r}: __import__(name)\nprint(*sorted(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    allowed = WIRES | {wire.rsplit(".", depth)[0] for wire in WIRES for depth in (1, 2)}
    loaded = {name for name in run.stdout.split() if name.split(".")[0] in FLOORS}
    assert loaded <= allowed


def function_sizes(paths: list[Path]) -> Iterator[tuple[str, int]]:
    for path in paths:
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                where = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
                yield where, node.end_lineno - node.lineno + 1


def test_functions_are_short() -> None:
    sizes = dict(function_sizes(sources(*PRODUCT, "bench", "tests")))
    too_long = {where: lines for where, lines in sizes.items() if lines > FUNCTION_LINES_MAX}
    assert not too_long
    product = [lines for _, lines in function_sizes(sources(*PRODUCT))]
    share = sum(lines > FUNCTION_LINES_LONG for lines in product) / max(1, len(product))
    assert share <= FUNCTIONS_LONG_SHARE_MAX


def test_c_functions_are_short() -> None:
    """A C function begins in column 0 and ends with the first `}` in column 0 after it."""
    for path in sources("native", suffixes=(".c", ".h")):
        if path.parent.name != "csrc":
            continue
        text = path.read_text(encoding="utf-8")
        for body in re.finditer(
            r"^\w[^;\n]*\([^;{]*\)\s*\{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL
        ):
            lines = body.group(0).count("\n") + 1
            assert lines <= FUNCTION_LINES_MAX, f"{path.name}: {body.group(0).splitlines()[0]}"


def test_files_do_not_grow_without_a_decision() -> None:
    for path in sources(*PRODUCT, "bench", "tests", suffixes=(".py", ".pyx", ".pyi")):
        name = str(path.relative_to(ROOT))
        lines = path.read_text(encoding="utf-8").count("\n")
        assert lines <= FILE_LINES_MAX, f"{name} has {lines} lines: split it"
        if lines > FILE_LINES_WATCHED:
            allowed = FILE_LINES_RATCHET.get(name, FILE_LINES_WATCHED)
            assert lines <= allowed, f"{name} has {lines} lines, {allowed} are allowed: split it"
    for name in FILE_LINES_RATCHET:
        assert (ROOT / name).exists(), f"{name} is gone: take it out of the ratchet"


def test_every_package_is_shipped() -> None:
    """The flat layout makes setuptools need the list; what is not in it is lost silently."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = {module_name(path) for path in sources(*PRODUCT) if path.name == "__init__.py"}
    assert found <= set(re.findall(r'"([\w.]+)"', text))
