"""`ilk plugins`: what is installed, without importing any of it."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

__all__ = ["plugins"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def plugins(as_json: bool) -> None:
    """List the installed plugins: encoders, losses, data sets, stores, searchers.

    Those of other packages are listed beside ilk's own. Nothing is imported, so a plugin that is
    listed as ready may still turn out to be broken.
    """
    from ilk.cli.words import print_table
    from ilk.plugins import installed

    found = installed()
    if as_json:
        rows = [asdict(plugin) | {"is_ready": plugin.is_ready} for plugin in found]
        click.echo(json.dumps(rows, indent=2))
        return
    shown = []
    for plugin in found:
        install = f'no: pip install "{plugin.distribution}[{",".join(plugin.extras)}]"'
        ready = "yes" if plugin.is_ready else install
        shown.append((plugin.group, plugin.name, plugin.target, plugin.distribution, ready))
    print_table(("group", "name", "target", "distribution", "ready"), shown)
