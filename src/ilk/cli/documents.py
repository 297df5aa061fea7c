"""What commands print with --json: documents that docs/json.md describes and a test holds."""

from __future__ import annotations

import json
from typing import Any

import click

from ilk.documents import (
    SCHEMA_VERSION,
    change_rows,
    document,
    enrollment,
    exemplar,
    identification,
    number,
    pictures,
    receipt,
    region_facts,
    threshold_facts,
    verification,
)

__all__ = [
    "SCHEMA_VERSION",
    "change_rows",
    "enrollment",
    "exemplar",
    "identification",
    "number",
    "pictures",
    "print_document",
    "receipt",
    "region_facts",
    "threshold_facts",
    "verification",
]


def print_document(schema: str, **content: Any) -> None:
    """Print one document."""
    click.echo(json.dumps(document(schema, **content), indent=2, allow_nan=False, default=str))
