"""Plugins through entry points: ours and a stranger's go through the same door.

A distribution offers an object under the entry-point group `ilk.GROUP`; loading imports only what
was named. An entry point may say which extra of its distribution it needs, as in
`small = "ilk.encoders.small:SmallEncoder [train]"`, so that listing can tell without importing
whether the extra is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, final

from ilk.errors import MissingExtra, PluginError

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

__all__ = ["GROUPS", "Plugin", "installed", "load"]

GROUPS = ("encoders", "detectors", "losses", "datasets", "stores", "searchers")
"""The kinds of plugin; the entry-point group of one is `ilk.` and its name."""

_OF_EXTRA = re.compile(r"""^\s*([A-Za-z0-9._-]+).*?;\s*extra\s*==\s*["']([^"']+)["']\s*$""")
_SELF_EXTRAS = re.compile(r"^\s*[A-Za-z0-9._-]+\s*\[([^\]]+)\]")


@final
@dataclass(frozen=True, order=True)
class Plugin:
    """One installed plugin, not imported."""

    group: str
    """One of `GROUPS`."""
    name: str
    """What configs and commands call it."""
    target: str
    """Where it is, as `module:object`."""
    distribution: str
    """The installed package that offers it."""
    missing: tuple[str, ...] = ()
    """Packages of the extra that it says it needs and that are not installed."""
    extras: tuple[str, ...] = ()
    """The extras of its distribution that it says it needs."""

    @property
    def is_ready(self) -> bool:
        """Whether everything it says it needs is installed."""
        return not self.missing


def installed(group: str | None = None) -> list[Plugin]:
    """Return the installed plugins of one group, or of all, sorted; nothing is imported.

    Raises:
        PluginError: There is no such group.

    Example:
        >>> [plugin.target for plugin in installed("losses") if plugin.name == "triplet"]
        ['ilk.losses.triplet:Triplet']
    """
    groups = GROUPS if group is None else (_known(group),)
    return sorted(_describe(g, point) for g in groups for point in _points(g))


def load(group: str, name: str) -> Any:
    """Import the plugin `name` of `group` and return it.

    Raises:
        PluginError: No plugin, or more than one, has that name, or its target cannot be imported.
        MissingExtra: It needs packages that are not installed; the message says which to install.

    Example:
        >>> load("losses", "triplett")
        Traceback (most recent call last):
        ...
        ilk.errors.PluginError: ilk.losses has no plugin named 'triplett'; did you mean 'triplet'?
    """
    points = [point for point in _points(_known(group)) if point.name == name]
    if not points:
        raise PluginError(_not_found(group, name))
    if len(points) > 1:
        owners = " and ".join(sorted(f"{p.value} ({_owner(p)})" for p in points))
        raise PluginError(
            f"ilk.{group} must have one plugin named {name!r}, got {owners}; uninstall all but one"
        )
    try:
        return points[0].load()
    except ModuleNotFoundError as error:
        raise _explain_missing(points[0], error) from error
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"plugin {name!r} of ilk.{group} should be at {points[0].value}, which cannot be "
            f"imported ({error}); reinstall {_owner(points[0])}"
        ) from error


def _known(group: str) -> str:
    if group not in GROUPS:
        raise PluginError(f"a plugin group must be one of {', '.join(GROUPS)}, got {group!r}")
    return group


def _points(group: str) -> Iterable[EntryPoint]:
    """Return the entry points of a group, once each even if a distribution is found twice."""
    from importlib.metadata import entry_points

    found = entry_points(group=f"ilk.{group}")
    return {(point.name, point.value, _owner(point)): point for point in found}.values()


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown distribution"


def _describe(group: str, point: EntryPoint) -> Plugin:
    extras = tuple(sorted(point.extras))
    target = f"{point.module}:{point.attr}" if point.attr else point.module
    missing = [r for extra in extras for r in _requirements(point.dist, extra) if _is_absent(r)]
    return Plugin(group, point.name, target, _owner(point), tuple(dict.fromkeys(missing)), extras)


def _requirements(distribution: Distribution | None, extra: str) -> list[str]:
    """Return the names that `extra` adds to a distribution, through extras of its own too."""
    names: list[str] = []
    for line in (distribution.requires if distribution is not None else None) or ():
        found = _OF_EXTRA.match(line)
        if found is None or found[2] != extra:
            continue
        own = _SELF_EXTRAS.match(line)
        if distribution is not None and _plain(found[1]) == _plain(distribution.name):
            inner = [part.strip() for part in own[1].split(",")] if own else []
            names += [
                n for part in inner if part != extra for n in _requirements(distribution, part)
            ]
        else:
            names.append(found[1])
    return names


def _is_absent(distribution: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version

    try:
        version(distribution)
    except PackageNotFoundError:
        return True
    return False


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _not_found(group: str, name: str) -> str:
    names = sorted({point.name for point in _points(group)})
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names) or 'none'}"
    return f"ilk.{group} has no plugin named {name!r}; {hint}"


def _explain_missing(point: EntryPoint, error: ModuleNotFoundError) -> MissingExtra | PluginError:
    """Say which extra holds the missing module, or that the plugin itself is broken."""
    module = (error.name or "").partition(".")[0]
    if not module or module == point.module.partition(".")[0]:
        return PluginError(
            f"plugin {point.name!r} should be at {point.value}, which does not exist ({error}); "
            f"reinstall {_owner(point)}"
        )
    extra = next(iter(point.extras), None) or _extra_of(point.dist, module)
    package = f'"{_owner(point)}[{extra}]"' if extra else module
    return MissingExtra(
        f"plugin {point.name!r} needs {module}, which is not installed; pip install {package}"
    )


def _extra_of(distribution: Distribution | None, module: str) -> str | None:
    """Return the smallest extra that brings in a package of the module's name."""
    found = [_OF_EXTRA.match(line) for line in (distribution and distribution.requires) or ()]
    extras = [(_plain(match[1]), match[2]) for match in found if match is not None]
    holding = [extra for package, extra in extras if package == _plain(module)]
    return min(holding, key=lambda extra: sum(e == extra for _, e in extras), default=None)
