"""Training: from labelled items to an artifact. torch and Lightning live here.

`fit` is the one way in from Python; `ilk train` is the same from a shell.
"""

from ilk.config import Run, load_run
from ilk.training.fit import fit

__all__ = ["Run", "fit", "load_run"]
