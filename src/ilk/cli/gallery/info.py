"""`ilk gallery info GALLERY`: what it holds, what it promises, what that costs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ilk.cli.galleries import gallery_argument, json_option

if TYPE_CHECKING:
    from ilk.gallery import Gallery
    from ilk.gallery.calibration_report import CalibrationReport, Rate

__all__ = ["info", "report_facts", "report_rows"]


@click.command()
@gallery_argument
@json_option
def info(gallery: Path, as_json: bool) -> None:
    """Show what a gallery holds, its threshold, and what that promises and costs.

    Figures for a larger gallery are extrapolated, and marked so.
    """
    from ilk.cli.documents import print_document
    from ilk.errors import NotCalibrated
    from ilk.gallery import Gallery

    with Gallery.open(gallery) as opened:
        facts = _facts(opened)
        try:
            report, reason = opened.report(), ""
        except NotCalibrated as error:
            report, reason = None, str(error)
    if as_json:
        calibration = report_facts(report)
        print_document("gallery.info", **facts, calibration=calibration, reason=reason)
        return
    _print(facts, report, reason)


def _facts(gallery: Gallery) -> dict[str, Any]:
    with gallery.access.reading() as reader:
        roles = Counter(row.role for row in reader.exemplars())
        counts = {
            "classes": sum(row.num_exemplars > 0 for row in reader.classes()),
            "exemplars": roles["exemplar"],
            "not": roles["not"],
            "ignore": roles["ignore"],
            "unknowns": len(reader.unknowns()),
            "strangers": len(reader.strangers().ids),
            "changes": reader.sequence(),
        }
        created = gallery.access.store.facts.get("created", "")
    settings, binding = gallery.settings, gallery.binding
    artifact = binding.artifact
    return {
        "location": str(gallery.access.location),
        "generation": gallery.access.generation.number,
        "created": created,
        "encoder_fingerprint": binding.encoder_fingerprint,
        "artifact": str(artifact.path) if artifact is not None else None,
        "embedding_size": binding.embedding_size,
        "distance": binding.distance.settings,
        "templates": settings.templates,
        "margin": settings.margin,
        "basis": settings.basis,
        "target_fpir": settings.target_fpir,
        "counts": counts,
    }


def report_facts(report: CalibrationReport | None) -> dict[str, Any] | None:
    """Return a calibration report as JSON values."""
    from ilk.documents import number, threshold_facts

    if report is None:
        return None
    names = ("fpir", "fnir", "fpir_held", "fnir_held", "fpir_following", "fnir_following")
    is_empty = not report.threshold.gallery_size  # then any distance would keep the promise
    return {
        "threshold": threshold_facts(report.threshold),
        "factor": report.factor,
        "limit_following": None if is_empty else number(report.limit_following),
        **{name: _rate_facts(getattr(report, name)) for name in names},
    }


def _rate_facts(rate: Rate) -> dict[str, Any]:
    from ilk.documents import number

    return {
        "value": number(rate.value),
        "low": number(rate.low),
        "high": number(rate.high),
        "num_trials": rate.num_trials,
        "num_classes": rate.num_classes,
        "is_extrapolated": rate.is_extrapolated,
        "note": rate.note,
    }


def report_rows(report: CalibrationReport) -> list[tuple[str, str]]:
    """Return a calibration report in words, as names and values."""
    from ilk.words import percent, told_strangers, told_threshold

    if not report.threshold.gallery_size:
        told = f"at most {percent(report.threshold.target_fpir)} of strangers get a name"
        basis = f"from {told_strangers(report.threshold)} ({report.threshold.basis})"
        return [("threshold", f"{told}; follows {basis} as soon as a class is enrolled")]
    times = f"at {report.factor:g} x the classes"
    rows = [
        ("threshold", told_threshold(report.threshold)),
        ("strangers named (FPIR)", _told(report.fpir)),
        (f"  {times}", f"{_told(report.fpir_held)}, if the threshold were held"),
        ("probes missed (FNIR)", _told(report.fnir)),
    ]
    if report.limit_following is None:
        return [*rows, (f"  {times}", report.fpir_following.note)]
    value = f"{_told(report.fnir_following)}, with threshold {report.limit_following:.4g}"
    return [*rows, (f"  {times}", f"{value}, which would keep the promise")]


def _told(rate: Rate) -> str:
    from ilk.words import counted, percent

    if rate.value is None:
        return rate.note
    words = percent(rate.value)
    if rate.low is not None and rate.high is not None:
        words += f" (95 %: {percent(rate.low)} to {percent(rate.high)})"
    if rate.is_extrapolated:
        return f"about {words}, extrapolated"
    of = f"{counted(rate.num_trials, 'probe')} of {counted(rate.num_classes, 'class', 'classes')}"
    return f"{words} of {of}"


def _print(facts: dict[str, Any], report: CalibrationReport | None, reason: str) -> None:
    from ilk.cli.words import print_facts
    from ilk.words import counted

    counts = facts["counts"]
    held = [
        counted(counts["classes"], "class", "classes"),
        counted(counts["exemplars"], "exemplar"),
        *([f"{counts['not']:,} of what a class is not"] if counts["not"] else []),
        *([f"{counts['ignore']:,} to ignore"] if counts["ignore"] else []),
    ]
    rows = [
        ("gallery", f"{facts['location']}, made {facts['created']}"),
        ("holds", ", ".join(held)),
        ("kept unknown probes", f"{counts['unknowns']:,}"),
        (
            "encoder",
            f"{facts['encoder_fingerprint'][:12]}, {facts['embedding_size']} numbers, "
            f"{facts['distance'].get('name')} distance",
        ),
        ("matched by", _TEMPLATES.get(facts["templates"], facts["templates"])),
        *(report_rows(report) if report is not None else [("threshold", f"none: {reason}")]),
    ]
    print_facts(rows)


_TEMPLATES = {"every": "every exemplar", "mean": "the mean of the exemplars of a class"}
