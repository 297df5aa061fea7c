"""Faces: found by YuNet, judged, and turned upright as encoders of faces expect them."""

from ilk.detectors.faces.detector import Faces

__all__ = ["Faces"]
