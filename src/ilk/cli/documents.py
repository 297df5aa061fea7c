"""What commands print with --json: documents that docs/json.md describes and a test holds."""

from __future__ import annotations

import json
from typing import Any

import click

from ilk.documents import document

__all__ = ["print_document"]


def print_document(schema: str, **content: Any) -> None:
    """Print one document."""
    click.echo(json.dumps(document(schema, **content), indent=2, allow_nan=False, default=str))
