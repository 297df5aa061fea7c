"""ArcFace and AdaFace are the published formulas, without the arc cosine and its broken ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from ilk.distances import Distance, Euclidean, Hyperbolic
from ilk.errors import InvalidInput, NoSignal
from ilk.losses import AdaFace, ArcFace, Loss, NormalizedSoftmax
from ilk.losses.angles import turned_cosines

C, D = 4, 5
MAKES: dict[str, Callable[..., Loss]] = {
    "arcface": lambda **options: ArcFace(num_classes=C, embedding_size=D, **options),
    "adaface": lambda **options: AdaFace(num_classes=C, embedding_size=D, **options),
}
for_both = pytest.mark.parametrize("make", MAKES.values(), ids=MAKES.keys())


def cosines_of(embeddings: Tensor, class_weights: Tensor) -> Tensor:
    return normalize(embeddings, dim=1) @ normalize(class_weights, dim=1).T


def arcface_by_acos(
    embeddings: Tensor, labels: Tensor, class_weights: Tensor, degrees: float, scale: float
) -> Tensor:
    """As the authors' code has it, item by item."""
    margin = math.radians(degrees)
    rows = []
    for cosines, label in zip(cosines_of(embeddings, class_weights), labels.tolist(), strict=True):
        angle = torch.acos(cosines[label])
        own = torch.cos(angle + margin)
        if angle.item() > math.pi - margin:
            own = torch.cos(angle) - margin * math.sin(margin)
        logits = torch.stack([own if c == label else x for c, x in enumerate(cosines)])
        rows.append(cross_entropy(scale * logits[None], torch.tensor([label])))
    return torch.stack(rows).mean()


class AdaFaceByAcos:
    """As the paper has it, item by item; the lengths of all batches so far are kept."""

    def __init__(
        self, class_weights: Tensor, m: float, h: float, s: float, momentum: float
    ) -> None:
        self.class_weights, self.m, self.h, self.s = class_weights, m, h, s
        self.momentum = momentum
        self.seen: list[tuple[float, float]] = []

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        lengths = [math.sqrt(sum(x * x for x in row)) for row in embeddings.tolist()]
        mean = sum(lengths) / len(lengths)
        variance = sum((x - mean) ** 2 for x in lengths) / (len(lengths) - 1)
        self.seen.append((mean, math.sqrt(variance)))
        mean, std = self._followed()
        rows = []
        cosines = cosines_of(embeddings, self.class_weights)
        for length, row, label in zip(lengths, cosines, labels.tolist(), strict=True):
            quality = min(1.0, max(-1.0, (length - mean) / (std + 1e-3) * self.h))
            angle = (torch.acos(row[label]) - self.m * quality).clamp(0, math.pi)
            own = torch.cos(angle) - (self.m + self.m * quality)
            logits = torch.stack([own if c == label else x for c, x in enumerate(row)])
            rows.append(cross_entropy(self.s * logits[None], torch.tensor([label])))
        return torch.stack(rows).mean()

    def _followed(self) -> tuple[float, float]:
        mean, std = self.seen[0]
        for i, (batch_mean, batch_std) in enumerate(self.seen[1:], 2):
            weight = max(self.momentum, 1 / i)
            mean += weight * (batch_mean - mean)
            std += weight * (batch_std - std)
        return mean, std


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Items of some classes; lengths differ by a factor of ten and more."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    size = draw(st.integers(2, 7))
    embeddings = torch.randn(size, D, generator=generator, dtype=torch.float64)
    embeddings *= torch.exp(torch.randn(size, 1, generator=generator, dtype=torch.float64))
    return embeddings, torch.randint(0, C, (size,), generator=generator)


def same_value_and_slopes(
    loss: Loss, reference: Callable[[Tensor, Tensor], Tensor], batch: tuple[Tensor, Tensor]
) -> None:
    embeddings = batch[0].clone().requires_grad_()
    value, expected = loss(embeddings, batch[1]), reference(embeddings, batch[1])
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)
    leaves = (embeddings, *loss.parameters())
    for got, wanted in zip(
        torch.autograd.grad(value, leaves), torch.autograd.grad(expected, leaves), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-7, atol=1e-7)


@settings(deadline=None, max_examples=40)
@given(batch=batches(), degrees=st.floats(0, 90), scale=st.sampled_from([1.0, 16.0, 64.0]))
def test_arcface_is_the_formula_of_its_authors(
    batch: tuple[Tensor, Tensor], degrees: float, scale: float
) -> None:
    torch.manual_seed(2)
    loss = ArcFace(num_classes=C, embedding_size=D, margin_degrees=degrees, scale=scale).double()
    same_value_and_slopes(
        loss, lambda x, y: arcface_by_acos(x, y, loss.class_weights, degrees, scale), batch
    )


@settings(deadline=None, max_examples=40)
@given(
    several=st.lists(batches(), min_size=1, max_size=4),
    margin=st.sampled_from([0.0, 0.4, 1.0]),
    concentration=st.sampled_from([0.0, 0.333, 3.0]),
)
def test_adaface_is_the_formula_of_its_authors(
    several: Sequence[tuple[Tensor, Tensor]], margin: float, concentration: float
) -> None:
    torch.manual_seed(2)
    loss = AdaFace(
        num_classes=C,
        embedding_size=D,
        margin=margin,
        concentration=concentration,
        scale=16.0,
        momentum=0.4,
    ).double()
    reference = AdaFaceByAcos(loss.class_weights, margin, concentration, 16.0, 0.4)
    for batch in several:
        same_value_and_slopes(loss, reference, batch)


def test_arcface_is_that_of_pytorch_metric_learning() -> None:
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    torch.manual_seed(0)
    theirs = losses.ArcFaceLoss(num_classes=C, embedding_size=D, margin=28.6, scale=64).double()
    ours = ArcFace(num_classes=C, embedding_size=D, margin_degrees=28.6, scale=64).double()
    with torch.no_grad():
        ours.class_weights.copy_(theirs.W.T)
    embeddings, labels = torch.randn(60, D, dtype=torch.float64), torch.arange(60) % C
    far = cosines_of(embeddings, ours.class_weights)[torch.arange(60), labels]
    assert (far < -math.cos(math.radians(28.6))).any()  # some beyond 180 degrees minus the margin
    x = embeddings.requires_grad_()
    values = ours(x, labels), theirs(x, labels)
    torch.testing.assert_close(values[0], values[1], rtol=1e-9, atol=1e-9)
    slopes = torch.autograd.grad(values[0], (x, ours.class_weights))
    wanted = torch.autograd.grad(values[1], (x, theirs.W))
    torch.testing.assert_close(slopes[0], wanted[0], rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(slopes[1], wanted[1].T, rtol=1e-7, atol=1e-7)


@for_both
def test_without_margin_both_are_normalized_softmax(make: Callable[..., Loss]) -> None:
    name = "margin_degrees" if make is MAKES["arcface"] else "margin"
    loss = make(**{name: 0.0, "scale": 12.5}).double()
    plain = NormalizedSoftmax(num_classes=C, embedding_size=D, temperature=1 / 12.5).double()
    plain.load_state_dict({"class_weights": loss.state_dict()["class_weights"]})
    x, labels = torch.randn(9, D, dtype=torch.float64), torch.arange(9) % C
    x[0] = loss.get_parameter("class_weights")[0].detach() * 3  # at the ends of the cosine too
    x[1] = -loss.get_parameter("class_weights")[1].detach()
    x.requires_grad_()
    torch.testing.assert_close(loss(x, labels), plain(x, labels), rtol=1e-12, atol=1e-12)
    (slope,), (wanted,) = (torch.autograd.grad(f(x, labels), x) for f in (loss, plain))
    torch.testing.assert_close(slope, wanted, rtol=1e-9, atol=1e-12)


@for_both
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_ends_of_the_cosine_are_finite(make: Callable[..., Loss], dtype: torch.dtype) -> None:
    loss = make().to(torch.float64 if dtype == torch.float64 else torch.float32)
    with torch.no_grad():
        loss.get_parameter("class_weights").copy_(torch.eye(C, D))
    east = torch.eye(D)[0]
    rows = torch.stack([east, -east, 7 * east, 0 * east, east * 1e-3, east + 1e-4])
    x = rows.to(dtype).requires_grad_()
    for label in range(2):
        value = loss(x, torch.full((len(x),), label))
        leaves = (x, *loss.parameters())
        assert value.isfinite()
        assert all(g.isfinite().all() for g in torch.autograd.grad(value, leaves))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_an_angle_can_be_added_at_the_ends(dtype: torch.dtype) -> None:
    distances = torch.tensor([0.0, 1e-30, 1e-7, 1.0, 2 - 1e-7, 2.0], dtype=dtype).requires_grad_()
    for angle in (0.0, 0.5, -0.5):
        value = turned_cosines(distances, distances.new_tensor(angle))
        assert value[0].item() == pytest.approx(math.cos(angle))
        assert value[-1].item() == pytest.approx(-math.cos(angle))
        assert torch.autograd.grad(value.sum(), distances)[0].isfinite().all()


@for_both
def test_the_longest_embeddings_are_finite(make: Callable[..., Loss]) -> None:
    loss = make()
    assert loss(torch.full((4, D), 3e38), torch.arange(4)).isfinite()
    assert all(buffer.isfinite() for buffer in loss.buffers())


@for_both
@pytest.mark.parametrize("factor", [0.0, 1e-30, 1e18, 1e30])
def test_odd_lengths_are_finite(make: Callable[..., Loss], factor: float) -> None:
    loss, labels = make(), torch.arange(8) % C
    x = (torch.randn(8, D) * factor).requires_grad_()
    for _ in range(3):
        value = loss(x, labels)
        assert value.isfinite()
        if factor >= 1:  # the slope by a tiny embedding is larger than float32 can hold
            assert torch.autograd.grad(value, x)[0].isfinite().all()
    assert loss(torch.randn(8, D), labels).isfinite()
    assert loss(torch.randn(1, D), labels[:1]).isfinite()  # a lone item has no spread


def at_angle(degrees: Tensor, length: float = 1.0) -> Tensor:
    """Embeddings this far from the first class weight, at right angles to the others."""
    angle = torch.deg2rad(degrees.double())
    rows = torch.zeros(len(degrees), D, dtype=torch.float64)
    rows[:, 0], rows[:, D - 1] = angle.cos(), angle.sin()
    return length * rows


def with_axes(loss: Loss) -> Loss:
    """Class weights that are the first axes."""
    loss = loss.double()
    with torch.no_grad():
        loss.get_parameter("class_weights").copy_(torch.eye(C, D))
    return loss


@settings(deadline=None, max_examples=60)
@given(near=st.floats(0, 179.9), further=st.floats(0.05, 90), margin=st.floats(0, 90))
def test_a_larger_angle_or_margin_never_costs_less(
    near: float, further: float, margin: float
) -> None:
    label = torch.zeros(1, dtype=torch.int64)

    def cost(degrees: float, margin_degrees: float) -> float:
        loss = ArcFace(num_classes=C, embedding_size=D, margin_degrees=margin_degrees, scale=4.0)
        value: float = with_axes(loss)(at_angle(torch.tensor([degrees])), label).item()
        return value

    far = min(180.0, near + further)
    assert cost(far, margin) > cost(near, margin) - 1e-12
    assert cost(near, margin) >= cost(near, 0.0) - 1e-12


@settings(deadline=None, max_examples=40)
@given(start=st.floats(1, 179), quality=st.floats(-1, 1))
def test_adaface_never_rewards_a_larger_angle(start: float, quality: float) -> None:
    label = torch.zeros(1, dtype=torch.int64)
    loss = with_axes(AdaFace(num_classes=C, embedding_size=D, scale=4.0, concentration=1.0))
    loss.eval()
    loss.load_state_dict(
        loss.state_dict()
        | {"length_mean": torch.tensor(5.0), "length_std": torch.tensor(1.0 - 1e-3)}
        | {"num_batches": torch.tensor(100)}
    )
    degrees = torch.linspace(start, 180, 9)
    costs = [loss(at_angle(d[None], 5.0 + quality), label).item() for d in degrees]
    assert all(after >= before - 1e-12 for before, after in pairwise(costs))


def test_adaface_stresses_difficult_good_items_and_easy_poor_ones() -> None:
    """The point of the paper: which items pull hardest on their cosine, by their length."""
    loss = AdaFace(num_classes=C, embedding_size=D, concentration=1.0, scale=1e-3)
    with_axes(loss).eval()  # at that scale no item is satisfied
    loss.load_state_dict(
        loss.state_dict()
        | {"length_mean": torch.tensor(5.0), "length_std": torch.tensor(1.0)}
        | {"num_batches": torch.tensor(1)}
    )

    def pull(degrees: float, length: float) -> float:
        label = torch.zeros(1, dtype=torch.int64)
        angles = torch.tensor([degrees - 0.01, degrees + 0.01]).double()
        near, far = (loss(at_angle(angle[None], length), label).item() for angle in angles)
        cosines = torch.deg2rad(angles).cos()
        return (far - near) / (cosines[0] - cosines[1]).item()

    good, poor = 6.0, 4.0
    assert pull(80, good) > 1.05 * pull(40, good)
    assert pull(40, poor) > 1.05 * pull(80, poor)


@for_both
@settings(deadline=None, max_examples=20)
@given(batch=batches())
def test_lengths_get_no_gradient(make: Callable[..., Loss], batch: tuple[Tensor, Tensor]) -> None:
    x = batch[0].requires_grad_()
    (slope,) = torch.autograd.grad(make().double()(x, batch[1]), x)
    along = (slope * x).sum(1) / (1 + slope.norm(dim=1) * x.norm(dim=1))
    torch.testing.assert_close(along, torch.zeros_like(along), rtol=0, atol=1e-10)


@settings(deadline=None, max_examples=20)
@given(batch=batches(), factor=st.floats(50, 1e6))
def test_the_unit_of_length_does_not_matter(batch: tuple[Tensor, Tensor], factor: float) -> None:
    torch.manual_seed(3)
    loss = AdaFace(num_classes=C, embedding_size=D, momentum=1.0, scale=8.0).double()
    x, labels = batch[0] * 50 / batch[0].norm(dim=1).min(), batch[1]
    torch.testing.assert_close(loss(x * factor, labels), loss(x, labels), rtol=1e-2, atol=1e-2)


def test_what_adaface_has_seen_is_part_of_its_state() -> None:
    torch.manual_seed(4)
    labels = torch.arange(8) % C
    some, others = torch.randn(2, 8, D)
    loss = AdaFace(num_classes=C, embedding_size=D)
    loss(some, labels)
    copied = AdaFace(num_classes=C, embedding_size=D)
    copied.load_state_dict(loss.state_dict())
    assert torch.equal(copied(others * 3, labels), loss(others * 3, labels))
    assert copied.state_dict().keys() == {
        "class_weights", "length_mean", "length_std", "num_batches"
    }  # fmt: skip
    for key, value in loss.state_dict().items():
        assert torch.equal(copied.state_dict()[key], value), key
    assert loss.num_batches == 2


def test_adaface_follows_in_training_alone() -> None:
    labels = torch.arange(8) % C
    loss = AdaFace(num_classes=C, embedding_size=D).eval()
    x = torch.randn(8, D)
    fresh = loss(x, labels)
    assert torch.equal(loss(x, labels), fresh)
    assert not loss.num_batches
    loss.train()(x, labels)
    before = {key: value.clone() for key, value in loss.state_dict().items()}
    loss.eval()(x * 9, labels)
    assert all(torch.equal(loss.state_dict()[key], value) for key, value in before.items())


def test_a_diverged_batch_is_seen_and_not_remembered() -> None:
    labels = torch.arange(8) % C
    loss = AdaFace(num_classes=C, embedding_size=D)
    x = torch.randn(8, D)
    loss(x, labels)
    broken = x.clone()
    broken[3, 0] = float("nan")
    assert loss(broken, labels).isnan()
    assert loss(x, labels).isfinite()


@for_both
@pytest.mark.parametrize("distance", [Euclidean(), Hyperbolic()], ids=lambda d: d.name)
def test_another_distance_is_refused(make: Callable[..., Loss], distance: Distance) -> None:
    with pytest.raises(
        InvalidInput,
        match=rf"Face is an angle, so its distance must be cosine, got {distance.name}; .*",
    ):
        make(distance=distance)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        ("arcface", {"margin_degrees": -1}, "margin_degrees must be from 0 to 90, got -1"),
        ("arcface", {"margin_degrees": 91}, "margin_degrees must be from 0 to 90"),
        ("arcface", {"margin_degrees": float("nan")}, "margin_degrees must be from 0 to 90"),
        ("arcface", {"scale": 0}, "scale must be above 0 and finite"),
        ("adaface", {"margin": 1.5}, "margin must be from 0 to 1"),
        ("adaface", {"concentration": -0.1}, "concentration must be at least 0"),
        ("adaface", {"scale": float("inf")}, "scale must be above 0 and finite"),
        ("adaface", {"momentum": 0}, "momentum must be above 0 and at most 1"),
    ],
)
def test_settings_are_checked(make: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        MAKES[make](**options)


@for_both
def test_what_cannot_be_learnt_from_is_refused(make: Callable[..., Loss]) -> None:
    loss = make()
    with pytest.raises(NoSignal, match="empty batch"):
        loss(torch.zeros(0, D), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(InvalidInput, match="labels from 0 to 3, got 1 to 4"):
        loss(torch.randn(4, D), torch.arange(1, 5))
    with pytest.raises(InvalidInput, match=r"embeddings of size 5, .* got 2"):
        loss(torch.randn(4, 2), torch.arange(4))


@for_both
def test_repr_names_the_settings(make: Callable[..., Loss]) -> None:
    assert "num_classes=4, embedding_size=5, margin" in repr(make())


@for_both
def test_learning_separates_classes(make: Callable[..., Loss]) -> None:
    torch.manual_seed(0)
    loss, labels = make(), torch.arange(24) % C
    embeddings = torch.nn.Parameter(torch.randn(24, D))
    optimizer = torch.optim.Adam([embeddings, *loss.parameters()], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss(embeddings, labels).backward()
        optimizer.step()
    weights = loss.get_parameter("class_weights").detach()
    angles = torch.acos(cosines_of(embeddings.detach(), weights)).rad2deg()
    own = angles.gather(1, labels[:, None])
    others = angles.scatter(1, labels[:, None], 180)
    asked = 28.65 if make is MAKES["arcface"] else 0.0
    assert (own + asked < others + 0.5).all()
