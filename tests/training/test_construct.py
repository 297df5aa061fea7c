from __future__ import annotations

from typing import Any

import pytest

from ilk.encoders.small import SmallEncoder
from ilk.errors import ConfigError
from ilk.losses import NormalizedSoftmax, Triplet
from ilk.training.construct import construct, with_defaults


def test_an_unknown_option_is_refused_by_path_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"encoder\.options\.widht: .*did you mean .*\.width\?"):
        construct(SmallEncoder, {"widht": 3}, path="encoder.options")


def test_what_the_run_does_not_decide_is_no_option() -> None:
    with pytest.raises(ConfigError, match=r"loss\.options\.num_classes: .*has no such option"):
        construct(
            NormalizedSoftmax,
            {"num_classes": 3},
            path="loss.options",
            num_classes=4,
            embedding_size=2,
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [({"margin": -1}, r"loss\.options: margin must be"), ({"margin": []}, r"loss\.options: ")],
)
def test_a_wrong_value_is_refused_by_path(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        construct(Triplet, options, path="loss.options")


def test_a_factory_of_any_keyword_takes_any_option() -> None:
    def factory(**options: object) -> dict[str, object]:
        return options

    assert construct(factory, {"a": 1}, path="x", b=2) == {"a": 1, "b": 2}
    assert with_defaults(factory, {"a": 1}) == {"a": 1}


def test_defaults_are_written_down() -> None:
    assert with_defaults(SmallEncoder, {"width": 8})["size_pixels"] == 48
    assert "distance" not in with_defaults(Triplet, {})
