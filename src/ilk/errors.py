"""Every error that ilk raises on purpose.

Each message is one string: what was expected, what came, what to do. The command line prints it
in one line and exits with 1; nothing else of ilk's own reaches a user as a traceback.

    IlkError
    ├── InvalidInput (also a ValueError)      an argument has the wrong shape, type or value
    │   ├── NoSignal                          a batch from which a loss can learn nothing
    │   └── NotEnoughTrials                   the data cannot carry the rate that was asked for
    ├── ConfigError                           settings: unknown key, wrong type, contradiction
    ├── DataError                             a source of items cannot be used as it is
    │   └── UnreadableItem                    one item cannot be decoded
    ├── ClassOverlap                          evaluation would touch classes or images of training
    ├── ArtifactError                         an artifact cannot be used
    │   ├── DamagedArtifact                   a file is missing or its hash is wrong
    │   ├── ForeignArtifact                   the folder is not an ilk artifact
    │   └── NewerArtifact                     written by a newer version of ilk
    ├── GalleryError                          a gallery cannot do what was asked
    │   ├── ForeignGallery                    there is no ilk gallery at that place
    │   ├── DamagedGallery                    a file of the gallery is broken
    │   ├── NewerGallery                      written by a newer version of ilk
    │   ├── WrongEncoder                      made with another encoder or distance
    │   ├── NotCalibrated                     there is no threshold to decide with
    │   ├── NoSuchClass                       the gallery has no class of that label
    │   └── UndoConflict                      a later change stands in the way of an undo
    ├── NothingLearnt                         no step was better than the weights before the first
    ├── TrainingDiverged                      the loss is not a finite number any more
    ├── TrainingStopped                       a person or the system asked training to stop
    ├── MissingWeights                        pretrained weights are not on this machine
    ├── WrongWeights                          a file of weights is not the one that it should be
    ├── MissingExtra (also an ImportError)    a feature needs `pip install "ilk[...]"`
    └── PluginError                           no such plugin, or two of one name
"""

from __future__ import annotations

__all__ = [
    "ArtifactError",
    "ClassOverlap",
    "ConfigError",
    "DamagedArtifact",
    "DamagedGallery",
    "DataError",
    "ForeignArtifact",
    "ForeignGallery",
    "GalleryError",
    "IlkError",
    "InvalidInput",
    "MissingExtra",
    "MissingWeights",
    "NewerArtifact",
    "NewerGallery",
    "NoSignal",
    "NoSuchClass",
    "NotCalibrated",
    "NotEnoughTrials",
    "NothingLearnt",
    "PluginError",
    "TrainingDiverged",
    "TrainingStopped",
    "UndoConflict",
    "UnreadableItem",
    "WrongEncoder",
    "WrongWeights",
]


class IlkError(Exception):
    """The root: catch this to catch everything that ilk raises on purpose."""


class InvalidInput(IlkError, ValueError):
    """An argument has the wrong shape, type or value."""


class NoSignal(InvalidInput):
    """A batch from which a loss can learn nothing, such as a batch of one class."""


class NotEnoughTrials(InvalidInput):
    """The data cannot carry the error rate that was asked for."""


class ConfigError(IlkError):
    """A run's settings hold an unknown key, a wrong type or a contradiction."""


class DataError(IlkError):
    """A source of items cannot be used as it is."""


class UnreadableItem(DataError):
    """One item cannot be decoded, or shows nothing; the message gives its name and the reason."""

    code = "unreadable"
    """The same for machines: "unreadable" or "blank"."""


class ClassOverlap(IlkError):
    """Evaluation would touch classes or images that the encoder was trained on."""


class ArtifactError(IlkError):
    """An encoder artifact cannot be used."""


class DamagedArtifact(ArtifactError):
    """A file of the artifact is missing or its hash is not the one in the manifest."""


class ForeignArtifact(ArtifactError):
    """The folder is not an ilk artifact."""


class NewerArtifact(ArtifactError):
    """The artifact was written by a newer version of ilk."""


class GalleryError(IlkError):
    """A gallery cannot do what was asked; nothing in it was changed."""


class ForeignGallery(GalleryError):
    """There is no ilk gallery at that place."""


class DamagedGallery(GalleryError):
    """A file of the gallery is broken; the message says which, and what can be saved."""


class NewerGallery(GalleryError):
    """The gallery was written by a newer version of ilk."""


class WrongEncoder(GalleryError):
    """What was given was made with another encoder or distance than the gallery is bound to."""


class NotCalibrated(GalleryError):
    """The gallery has no threshold to decide with."""


class NoSuchClass(GalleryError):
    """The gallery has no class of that label; the message names the nearest."""


class UndoConflict(GalleryError):
    """A later change stands in the way of an undo; the message names it."""


class NothingLearnt(IlkError):
    """Training made no weights that validate better than those it started from."""


class TrainingDiverged(IlkError):
    """The loss or an embedding is not a finite number any more."""


class TrainingStopped(IlkError):
    """Training was asked to stop; the message says how to go on."""


class MissingWeights(IlkError):
    """Pretrained weights are not on this machine and cannot be fetched."""


class WrongWeights(IlkError):
    """A file of weights is not the one that it should be."""


class MissingExtra(IlkError, ImportError):
    """A feature needs packages that the base install leaves out."""


class PluginError(IlkError):
    """There is no plugin of that name, or there are two."""
