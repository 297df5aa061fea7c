"""Learn a distance, then recognise kinds that training never saw, and say unknown when it should."""

__version__ = "0.1.0"
