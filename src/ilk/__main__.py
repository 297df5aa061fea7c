"""`python -m ilk`."""

from ilk.cli.main import run

run()
