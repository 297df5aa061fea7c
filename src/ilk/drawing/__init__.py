"""Answers drawn into the picture that they are about."""

from ilk.drawing.answers import draw_answers, write_drawing

__all__ = ["draw_answers", "write_drawing"]
