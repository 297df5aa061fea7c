"""CARD.md: what a person should know about an encoder artifact before using it.

Plain data in, Markdown out, so that a card can be written by training and read, quoted or drawn
by everything else. Equal facts give equal bytes.
"""

from ilk.card.facts import CardFacts
from ilk.card.render import render_card

__all__ = ["CardFacts", "render_card"]
