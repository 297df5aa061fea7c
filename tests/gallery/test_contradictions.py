"""What is enrolled and ruled out by the same content stands out."""

from __future__ import annotations

import numpy as np
from tests.gallery.conftest import MakeGallery


def test_a_merge_that_makes_an_exemplar_its_own_negative_is_seen(make_gallery: MakeGallery) -> None:
    gallery = make_gallery()
    gallery.enroll("owl", np.arange(6.0).reshape(3, 2), content_hashes=["a", "b", "c"])
    gallery.enroll("gull", np.zeros((1, 2)) + 9, content_hashes=["d"])
    gallery.enroll("gull", np.zeros((1, 2)), content_hashes=["a"], role="not")
    assert gallery.health().of("contradiction") == ()
    gallery.merge("gull", "owl")
    (found,) = gallery.health().of("contradiction")
    assert (found.labels, found.exemplars) == (("owl",), (1, 5))
    assert "an example of what 'owl' is not" in found.reason
    assert found.command.startswith("ilk gallery remove --exemplar 5")
    gallery.remove_exemplars([5])
    assert gallery.health().of("contradiction") == ()
