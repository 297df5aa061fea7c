"""Learn a distance, then recognise kinds that training never saw, and say when it does not know."""

__version__ = "0.1.0"
