"""A gallery and an evaluation give the same answers about the same probes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ilk.calibration import limit_for_fpir
from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.evaluation.identification import answer
from ilk.evaluation.protocol import draw_protocol
from ilk.gallery import Binding, Gallery


@pytest.mark.parametrize("distance", [Cosine(), Euclidean(), Hyperbolic()], ids=str)
def test_class_distance_and_threshold_are_shared(distance: Distance, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    class_ids = np.repeat(np.arange(60), 8)
    middles = generator.normal(size=(60, 6))
    embeddings = (middles[class_ids] + 0.4 * generator.normal(size=(480, 6))).astype(np.float32)
    if isinstance(distance, Cosine):  # a gallery keeps directions
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    draw = draw_protocol(class_ids, num_exemplars=3, enrolled_share=0.5, seed=[0])
    found = answer(embeddings, class_ids, distance, draw)
    binding = Binding(distance=distance, embedding_size=6, encoder_fingerprint="same")
    with Gallery.create(tmp_path / "g", binding) as gallery:
        names = [f"{class_ids[i]:02}" for i in draw.exemplars]
        gallery.enroll(names, embeddings[draw.exemplars])
        threshold = gallery.calibrate(0.05, strangers=embeddings[draw.strangers])
        answers = gallery.identify(embeddings[found.probe])
    assert threshold.value == pytest.approx(limit_for_fpir(found.strangers, 0.05), rel=1e-6)
    assert [int(a.candidates[0].label) for a in answers] == found.closest.tolist()
    distances = [a.candidates[0].distance for a in answers]
    np.testing.assert_allclose(distances, found.distance, rtol=1e-5, atol=1e-7)
