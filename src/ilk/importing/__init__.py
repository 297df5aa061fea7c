"""Importing: a network in ONNX form that was trained elsewhere becomes an artifact.

Any network will do, of faces or of anything else, that takes one preprocessed input and gives one
embedding. No torch here.
"""

from ilk.importing.encoder import import_encoder
from ilk.importing.network import Network, read_network

__all__ = ["Network", "import_encoder", "read_network"]
