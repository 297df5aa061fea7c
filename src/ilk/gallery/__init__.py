"""The gallery: the enrolled classes under one encoder, one distance and one promised error rate.

It works on embeddings and needs neither an encoder nor torch; `ilk.recognizer` puts an encoder in
front of it.
"""

from ilk.gallery.binding import Binding
from ilk.gallery.gallery import Gallery

__all__ = ["Binding", "Gallery"]
