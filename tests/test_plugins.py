"""Plugins: strangers come through the same door, and errors say what to type."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from ilk import plugins
from ilk.cli.plugins import plugins as plugins_command
from ilk.errors import MissingExtra, PluginError

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A function that puts a distribution where Python finds it."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name: str, entry_points: str, requires: tuple[str, ...] = ()) -> None:
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
        lines += [f"Requires-Dist: {line}" for line in requires]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
        (folder / "entry_points.txt").write_text(entry_points)

    return make


@pytest.fixture
def module(tmp_path: Path) -> Callable[[str, str], None]:
    """A function that writes a module."""

    def write(name: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(code)

    return write


Module = Callable[[str, str], None]


def test_every_plugin_of_ours_exists() -> None:
    ours = [plugin for plugin in plugins.installed() if plugin.distribution == "ilk"]
    assert {"small", "timm", "triplet", "normalized_softmax", "contrastive", "glyphs"} <= {
        plugin.name for plugin in ours
    }
    for plugin in ours:
        loaded = plugins.load(plugin.group, plugin.name)
        assert callable(loaded), plugin
        module, _, name = plugin.target.partition(":")
        assert loaded is getattr(import_module(module), name)


def test_a_strangers_plugin_is_loaded(install: Install, module: Module) -> None:
    module("stranger_loss", "class Loss:\n    pass\n")
    install("ilk-stranger", "[ilk.losses]\nstrange = stranger_loss:Loss\n")
    assert plugins.load("losses", "strange").__name__ == "Loss"
    (found,) = (plugin for plugin in plugins.installed("losses") if plugin.name == "strange")
    assert (found.target, found.distribution) == ("stranger_loss:Loss", "ilk-stranger")
    assert found.is_ready


def test_listing_imports_nothing(install: Install, module: Module) -> None:
    module("explosive", "raise RuntimeError('imported')\n")
    install("ilk-explosive", "[ilk.losses]\nboom = explosive:Loss\n")
    assert "boom" in {plugin.name for plugin in plugins.installed()}
    code = (
        "import sys\n"
        "from ilk.plugins import installed\n"
        "before = set(sys.modules)\n"
        "assert installed()\n"
        "assert not {'torch', 'timm', 'matplotlib', 'ilk.losses'} & (set(sys.modules) - before)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_typo_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(PluginError, match=r"no plugin named 'contrastve'; did you mean 'contrasti"):
        plugins.load("losses", "contrastve")
    with pytest.raises(PluginError, match=r"named 'zzzz'; there are adaface, .*triplet"):
        plugins.load("losses", "zzzz")


def test_an_unknown_group_is_refused() -> None:
    for call in (lambda: plugins.load("loses", "triplet"), lambda: plugins.installed("loses")):
        with pytest.raises(PluginError, match="searchers, got 'loses'"):
            call()


def test_two_of_one_name_are_refused(install: Install, module: Module) -> None:
    """Whichever came first on the path would otherwise win, silently."""
    module("impostor", "class Triplet:\n    pass\n")
    install("ilk-impostor", "[ilk.losses]\ntriplet = impostor:Triplet\n")
    with pytest.raises(PluginError, match=r"\(ilk\) and impostor:Triplet \(ilk-impostor\)"):
        plugins.load("losses", "triplet")


def test_an_extra_that_is_missing_is_named(install: Install, module: Module) -> None:
    module("needy", "import no_such_engine\n")
    requires = ('no-such-engine>=2; extra == "engine"', 'numpy; extra == "other"', "numpy")
    install("ilk-needy", "[ilk.encoders]\nneedy = needy:Encoder [engine]\n", requires)
    install("ilk-quiet", "[ilk.encoders]\nquiet = needy:Encoder\n", ('no.such_engine; extra=="e"',))
    install("ilk-silent", "[ilk.encoders]\nsilent = needy:Encoder\n")
    for name, command in (
        ("needy", r'pip install "ilk-needy\[engine\]"'),
        ("quiet", r'pip install "ilk-quiet\[e\]"'),
        ("silent", "pip install no_such_engine"),
    ):
        with pytest.raises(MissingExtra, match=f"needs no_such_engine.*{command}"):
            plugins.load("encoders", name)
    found = {plugin.name: plugin for plugin in plugins.installed("encoders")}
    assert found["needy"].missing == ("no-such-engine",)
    assert not found["needy"].is_ready
    assert found["silent"].is_ready


def test_extras_of_extras_are_followed(install: Install, module: Module) -> None:
    requires = (
        'absent-one; extra == "inner"',
        'ilk-nested[inner]; extra == "outer"',
        'numpy>=1; extra == "outer"',
        'absent-two; extra == "unused"',
    )
    install("ilk-nested", "[ilk.losses]\nnested = nested:Loss [outer]\n", requires)
    (found,) = (plugin for plugin in plugins.installed("losses") if plugin.name == "nested")
    assert found.missing == ("absent-one",)


@pytest.mark.parametrize(
    "code",
    ["import broken_plugin.part\n", "from json import nothing\n", "class Other:\n    pass\n"],
)
def test_a_broken_plugin_is_named(install: Install, module: Module, code: str) -> None:
    sys.modules.pop("broken_plugin", None)
    module("broken_plugin", code)
    install("ilk-broken", "[ilk.losses]\nbroken = broken_plugin:Loss\n")
    with pytest.raises(PluginError, match=r"broken_plugin:Loss.*reinstall ilk-broken"):
        plugins.load("losses", "broken")


def test_one_distribution_found_twice_is_one(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "copy").mkdir()
    install("ilk-twice", "[ilk.losses]\ntwice = json:JSONEncoder\n")
    source = tmp_path / "ilk_twice-1.0.dist-info"
    copied = tmp_path / "copy" / source.name
    copied.mkdir()
    for file in source.iterdir():
        (copied / file.name).write_text(file.read_text())
    monkeypatch.syspath_prepend(tmp_path / "copy")
    assert plugins.load("losses", "twice").__name__ == "JSONEncoder"


def test_what_needs_torch_says_so() -> None:
    """Our losses and encoders declare the extra that they need, so listing can tell."""
    for group in ("losses", "encoders"):
        for plugin in plugins.installed(group):
            if plugin.distribution == "ilk":
                assert plugin.extras == ("train",)
                assert plugin.is_ready is (importlib.util.find_spec("torch") is not None)


def test_the_command_lists_them(install: Install) -> None:
    requires = ('no-such-engine; extra == "engine"',)
    install("ilk-needy", "[ilk.encoders]\nneedy = needy:Encoder [engine]\n", requires)
    table = CliRunner().invoke(plugins_command, [], catch_exceptions=False)
    assert table.exit_code == 0
    assert "triplet" in table.output
    rows = json.loads(CliRunner().invoke(plugins_command, ["--json"]).output)
    (needy,) = (row for row in rows if row["name"] == "needy")
    assert needy == {
        "group": "encoders",
        "name": "needy",
        "target": "needy:Encoder",
        "distribution": "ilk-needy",
        "missing": ["no-such-engine"],
        "extras": ["engine"],
        "is_ready": False,
    }
    assert {row["group"] for row in rows} == set(plugins.GROUPS)


def test_the_table_says_what_to_install(install: Install) -> None:
    install("p", "[ilk.encoders]\nn = n:E [e]\n", ('absent; extra == "e"',))
    runner = CliRunner(env={"COLUMNS": "200"})
    assert 'no: pip install "p[e]"' in runner.invoke(plugins_command, []).output
