"""From embeddings and labels of unseen classes to figures with intervals."""

from ilk.evaluation.compare import Comparison, Difference, compare_evaluations
from ilk.evaluation.evaluate import evaluate, with_pairs
from ilk.evaluation.figures import Curve, Evaluation, Figure, Mistake, OpenSetTrial
from ilk.evaluation.pairs import Pairs
from ilk.evaluation.pairs_file import read_pairs
from ilk.evaluation.retrieval import retrieval
from ilk.evaluation.settings import EvaluationSettings

__all__ = [
    "Comparison",
    "Curve",
    "Difference",
    "Evaluation",
    "EvaluationSettings",
    "Figure",
    "Mistake",
    "OpenSetTrial",
    "Pairs",
    "compare_evaluations",
    "evaluate",
    "read_pairs",
    "retrieval",
    "with_pairs",
]
