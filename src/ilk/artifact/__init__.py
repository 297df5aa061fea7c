"""The artifact: the folder that training or an import writes and everything else reads.

    manifest.json        what it is: encoder, preprocessing, distance, figures, versions, hashes
    encoder.onnx         the network, one file, any batch size
    weights.safetensors  the same weights, to train on from; not there if it was imported
    cohort.npz           embeddings of held-out classes, to calibrate thresholds with
    CARD.md              all of it for people

Loading needs no torch, never unpickles, and checks the hash of every file. The same run gives the
same bytes: nothing in the folder tells the time. To embed with it, open it with
`ilk.encoders.onnx.open_encoder`, which lies one layer further out.
"""

from ilk.artifact.artifact import (
    Artifact,
    ArtifactParts,
    artifact_fingerprint,
    check_output,
    write_artifact,
)
from ilk.artifact.cohort import Cohort
from ilk.artifact.folder import find_leftovers
from ilk.artifact.manifest import FORMAT_VERSION, FileFacts, Manifest, Parity
from ilk.artifact.overlap import Overlap, class_hash, find_overlap, short_hash
from ilk.artifact.versions import installed_versions

__all__ = [
    "FORMAT_VERSION",
    "Artifact",
    "ArtifactParts",
    "Cohort",
    "FileFacts",
    "Manifest",
    "Overlap",
    "Parity",
    "artifact_fingerprint",
    "check_output",
    "class_hash",
    "find_leftovers",
    "find_overlap",
    "installed_versions",
    "short_hash",
    "write_artifact",
]
