"""How the evaluated embeddings use hyperbolic space."""

from __future__ import annotations

from html import escape

import numpy as np

from ilk.distances import Distance
from ilk.evaluation.report.charts import bar_chart
from ilk.radii import Radii

__all__ = ["RADII_WORDS", "radii_section"]

RADII_WORDS = (
    "How far embeddings lie from the origin of hyperbolic space, the last bar ending at the "
    "longest radius. Where all lie at one radius, the ranking is that of the cosine distance."
)
"""How to read the section."""


def radii_section(embeddings: np.ndarray, distance: Distance) -> str:
    """Return a histogram and what it means, or nothing under other distances."""
    radii = Radii.of(embeddings, distance)
    if radii is None:
        return ""
    step = radii.max_radius / len(radii.shares)
    names = [f"to {step * (i + 1):.2g}" for i in range(len(radii.shares))]
    percents = [round(100 * share) for share in radii.shares]
    chart = bar_chart(names, percents, title="Radii", label="radius", counted="% of embeddings")
    warning = f"<p><b>Warning:</b> {escape(radii.warning)}.</p>" if radii.warning else ""
    line = radii.line()
    return f"{warning}<p>{escape(line[:1].upper() + line[1:])}.</p>{chart}"
