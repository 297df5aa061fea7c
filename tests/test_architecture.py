"""The house plan, checked: layers, light imports, names, docstrings, one place for thresholds."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ilk

PACKAGE = Path(ilk.__file__).parent
ROOT = PACKAGE.parent.parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
BANNED_MODULES = {"utils", "misc", "common", "helpers", "base", "types"}
HEAVY = (
    "torch",
    "timm",
    "lightning",
    "onnxruntime",
    "PIL",
    "numpy",
    "rich",
    "pyarrow",
    "matplotlib",
)
DISTANCE_WORD = re.compile(r"(^|_)(distances?|closest)($|_)")
LIMIT_WORD = re.compile(r"(^|_)(limits?|thresholds?|radius)($|_)")


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def in_a_fresh_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="not in a checkout")
def test_import_contracts_hold() -> None:
    """import-linter keeps its settings in a module, so it has a process of its own."""
    code = (
        "import sys\n"
        "from importlinter.cli import lint_imports\n"
        "sys.exit(lint_imports(config_filename='pyproject.toml', no_cache=True, verbose=False))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_ilk_is_light() -> None:
    loaded = in_a_fresh_python("import sys, ilk; print(*sys.modules)").split()
    assert "ilk" in loaded
    assert not set(HEAVY[:5]) & set(loaded)


def test_the_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['ilk', '--help']\n"
        "from ilk.cli.main import run\n"
        "try:\n"
        "    run()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "print('MODULES', *sys.modules)\n"
    )
    output, _, loaded = in_a_fresh_python(code).partition("MODULES")
    assert "embed" in output
    assert not set(HEAVY) & set(loaded.split())


def test_serving_imports_no_torch() -> None:
    code = "import sys, ilk.encoders.onnx, ilk.embedding, ilk.artifact; print(*sys.modules)"
    assert not {"torch", "timm", "lightning", "onnx"} & set(in_a_fresh_python(code).split())


def test_module_names() -> None:
    banned = [name_of(p) for p in SOURCES if BANNED_MODULES & {p.stem, *p.parent.parts}]
    assert not banned


def documented(tree: ast.Module) -> dict[str, bool]:
    """Tell for each name that a module defines whether a docstring follows."""
    found = {}
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = ast.get_docstring(node) is not None
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            has_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            found |= {t.id: has_text for t in targets if isinstance(t, ast.Name)}
    return found


def public(tree: ast.Module) -> set[str]:
    """Return what `__all__` lists."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and words(node.targets[0]) == {"__all__"}:
            return set(ast.literal_eval(node.value))
    return set()


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_what_is_public_is_documented(path: Path) -> None:
    """Every module says what it is for; so does every public class, function and constant."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    told = documented(tree)
    assert not [name for name in sorted(public(tree)) if not told.get(name, True)]


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "__main__.py"], ids=name_of)
def test_what_is_public_exists(path: Path) -> None:
    module = importlib.import_module(
        ".".join(["ilk", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(
            ".__init__"
        )
    )
    assert not [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)]


def most_lines(tree: ast.Module) -> int:
    """A file that is one final class may be longer than others: it cannot be cut."""
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    return 600 if len(public(tree)) == 1 and public(tree) <= defined else 400


def test_files_stay_small() -> None:
    texts = {name_of(path): path.read_text(encoding="utf-8") for path in SOURCES}
    lengths = {name: text.count("\n") for name, text in texts.items()}
    assert not {n: size for n, size in lengths.items() if size > most_lines(ast.parse(texts[n]))}


def words(node: ast.expr) -> set[str]:
    """The names that an expression ends in: `x.distances[i]` is about distances."""
    while isinstance(node, ast.Subscript):
        node = node.value
    if isinstance(node, ast.Attribute):
        return {node.attr}
    return {node.id} if isinstance(node, ast.Name) else set()


def threshold_comparisons(tree: ast.AST) -> list[int]:
    """Lines in which a distance is compared with a limit."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        if not any(isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for op in node.ops):
            continue
        sides = set().union(*(words(side) for side in (node.left, *node.comparators)))
        if any(map(DISTANCE_WORD.search, sides)) and any(map(LIMIT_WORD.search, sides)):
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_distances_meet_limits_in_one_place(path: Path) -> None:
    found = threshold_comparisons(ast.parse(path.read_text(encoding="utf-8")))
    assert len(found) == (name_of(path) == "thresholds.py"), f"use ilk.thresholds.within: {found}"


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("distance <= limit", 1),
        ("result.distances[0] < self.threshold", 1),
        ("limit >= closest[i, j]", 1),
        ("distance < 0", 0),
        ("within(distance, limit)", 0),
        ("len(distances) < limit_count", 0),
    ],
)
def test_the_check_for_limits_sees(code: str, count: int) -> None:
    assert len(threshold_comparisons(ast.parse(code))) == count
