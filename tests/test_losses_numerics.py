"""No loss gives NaN or infinity, loses precision, or says nothing when it has nothing to say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.errors import InvalidInput, NoSignal
from ilk.losses import Contrastive, Loss, NormalizedSoftmax, Triplet

DISTANCES = (Cosine(), Euclidean(), Hyperbolic(curvature=1.0, max_radius=8.0))
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
D = 4

Make = Callable[[Distance], Loss]
MAKES: dict[str, Make] = {
    "triplet": lambda d: Triplet(distance=d),
    "triplet-soft": lambda d: Triplet(margin="soft", distance=d),
    "semi-hard": lambda d: Triplet(triplets="semi-hard", distance=d),
    "hardest": lambda d: Triplet(triplets="hardest", distance=d),
    "hardest-soft": lambda d: Triplet(margin="soft", triplets="hardest", distance=d),
    "contrastive": lambda d: Contrastive(distance=d),
    "contrastive-sharp": lambda d: Contrastive(temperature=2e-4, distance=d),
    "softmax": lambda d: NormalizedSoftmax(num_classes=3, embedding_size=D, distance=d),
}
PAIRWISE = {name: make for name, make in MAKES.items() if name != "softmax"}

on_any_distance = pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
for_every_loss = pytest.mark.parametrize("make", MAKES.values(), ids=MAKES.keys())
for_pair_losses = pytest.mark.parametrize("make", PAIRWISE.values(), ids=PAIRWISE.keys())


def normal(seed: int = 0) -> Tensor:
    return torch.randn(len(LABELS), D, generator=torch.Generator().manual_seed(seed))


def separated() -> Tensor:
    return torch.eye(D)[LABELS] * 3


EXTREMES = {
    "duplicates": normal()[[0, 0, 0, 1, 1, 2]],
    "collapsed": torch.ones(6, D),
    "all zero": torch.zeros(6, D),
    "one zero": normal() * torch.tensor([0, 1, 1, 1, 1, 1])[:, None],
    "opposite": torch.eye(D)[0].repeat(6, 1) * torch.tensor([1, -1, 1, -1, 1, 1])[:, None],
    "parallel": torch.eye(D)[0].repeat(6, 1) * torch.tensor([1, 2, 3, 4, 5, 6])[:, None],
    "huge": normal() * 1e15,
    "longest": normal() * 1e30,
    "one longest": normal() * torch.tensor([1e30, 1, 1, 1, 1, 1])[:, None],
    "tiny": normal() * 1e-15,
    "separated": separated(),
}


@on_any_distance
@for_every_loss
@pytest.mark.parametrize("embeddings", EXTREMES.values(), ids=EXTREMES.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_extremes_give_finite_values_and_gradients(
    distance: Distance, make: Make, embeddings: Tensor, dtype: torch.dtype
) -> None:
    x = embeddings.clamp(-6e4, 6e4) if dtype == torch.float16 else embeddings
    x = x.detach().clone().to(dtype).requires_grad_()
    loss = make(distance)
    if isinstance(loss, NormalizedSoftmax):  # a class weight on an embedding, and an opposite one
        with torch.no_grad():
            loss.class_weights[0] = embeddings[0]
            loss.class_weights[1] = -embeddings[2]
    value = loss(x, LABELS)
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert value >= 0
    assert x.grad is not None
    assert x.grad.dtype == dtype
    assert x.grad.isfinite().all()
    for parameter in loss.parameters():
        assert parameter.dtype == torch.float32
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


@on_any_distance
@for_every_loss
def test_autocast_changes_nothing(distance: Distance, make: Make) -> None:
    torch.manual_seed(1)
    loss = make(distance)
    x = normal().requires_grad_()
    plain = loss(x, LABELS)
    (gradient,) = torch.autograd.grad(plain, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = loss(x, LABELS)
    (mixed_gradient,) = torch.autograd.grad(mixed, x)
    assert torch.equal(mixed, plain)
    assert torch.equal(mixed_gradient, gradient)


@on_any_distance
@for_every_loss
def test_half_inputs_lose_only_their_own_rounding(distance: Distance, make: Make) -> None:
    torch.manual_seed(1)
    loss = make(distance)
    x = normal().bfloat16()
    torch.testing.assert_close(loss(x, LABELS), loss(x.float(), LABELS), rtol=0, atol=0)


@for_every_loss
def test_half_modules_keep_their_parameters(make: Make) -> None:
    loss = make(Cosine()).bfloat16()
    value = loss(normal().bfloat16(), LABELS)
    assert value.dtype == torch.float32
    assert all(p.dtype == torch.bfloat16 for p in loss.parameters())


@on_any_distance
@for_every_loss
def test_order_and_names_of_classes_do_not_matter(distance: Distance, make: Make) -> None:
    torch.manual_seed(1)
    loss, x = make(distance).double(), normal(3).double()
    order = torch.tensor([4, 1, 5, 0, 3, 2])
    torch.testing.assert_close(loss(x[order], LABELS[order]), loss(x, LABELS))
    if not loss.needs_classes:
        torch.testing.assert_close(loss(x, 50 - 9 * LABELS), loss(x, LABELS))


def test_contrastive_is_not_capped_at_low_temperature() -> None:
    """log(x + tiny) would cap it at 9.7 in half precision."""
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]).half().requires_grad_()
    value = Contrastive(temperature=0.01)(x, torch.tensor([0, 0, 1, 1]))
    assert value.item() == pytest.approx(200.0, abs=0.01)


@pytest.mark.parametrize("triplets", ["all", "semi-hard", "hardest"])
def test_a_satisfied_margin_is_an_answer(triplets: str) -> None:
    x = separated().requires_grad_()
    value = Triplet(margin=0.5, triplets=triplets)(x, LABELS)  # type: ignore[arg-type]
    value.backward()
    assert value.item() == 0
    assert x.grad is not None
    assert not x.grad.any()


def test_hinge_of_exactly_zero_is_not_active() -> None:
    x = torch.tensor([[0.0], [1.0], [2.0]])  # at 1: positive 1 away, negative 1 away, margin 0
    labels = torch.tensor([0, 0, 1])
    loss = Triplet(margin=0.0, distance=Euclidean())
    assert loss(x, labels).item() == 0
    # margin 1: anchor 0 is at 1 - 2 + 1 = 0, inactive; anchor 1 is at 1: the mean over one is 1
    assert Triplet(margin=1.0, distance=Euclidean())(x, labels).item() == 1


@for_pair_losses
def test_a_batch_of_one_class_says_so(make: Make) -> None:
    with pytest.raises(
        NoSignal, match=r"at least 2 classes, got 6 of one class.*classes_per_batch"
    ):
        make(Cosine())(normal(), torch.zeros(6, dtype=torch.int64))


@for_pair_losses
def test_a_batch_without_positives_says_so(make: Make) -> None:
    with pytest.raises(
        NoSignal, match=r"at least 2 items, got 6 classes with one.*items_per_class"
    ):
        make(Cosine())(normal(), torch.arange(6))


@for_every_loss
def test_an_empty_batch_says_so(make: Make) -> None:
    with pytest.raises(NoSignal, match="empty batch"):
        make(Cosine())(torch.zeros(0, D), torch.zeros(0, dtype=torch.int64))


@for_pair_losses
def test_anchors_without_positives_are_left_out(make: Make) -> None:
    loss, x = make(Cosine()), normal()
    with_single = loss(torch.cat([x, x[:1]]), torch.cat([LABELS, torch.tensor([9])]))
    assert with_single.isfinite()


@for_every_loss
def test_nan_is_seen_in_the_loss(make: Make) -> None:
    x = normal()
    x[2, 1] = float("nan")
    assert make(Cosine())(x, LABELS).isnan()


@for_every_loss
def test_no_gradient_is_made_where_none_is_wanted(make: Make) -> None:
    x = normal().requires_grad_()
    with torch.no_grad():
        assert not make(Cosine())(x, LABELS).requires_grad
    assert not PAIRWISE["triplet"](Cosine())(normal(), LABELS).requires_grad


@for_every_loss
def test_shapes_and_types_are_checked(make: Make) -> None:
    loss = make(Cosine())
    with pytest.raises(InvalidInput, match=r"labels \(N,\), got \(6, 4\) and \(5,\)"):
        loss(normal(), LABELS[:5])
    with pytest.raises(InvalidInput, match=r"integer labels, got torch\.float32 and"):
        loss(normal(), LABELS.float())
    with pytest.raises(InvalidInput, match="floating-point embeddings"):
        loss(normal().long(), LABELS)


def test_settings_are_checked() -> None:
    for margin in (-0.1, float("nan"), float("inf"), "hard"):
        with pytest.raises(InvalidInput, match="margin must be at least 0"):
            Triplet(margin=margin)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="triplets must be one of all, semi-hard, hardest"):
        Triplet(triplets="semihard")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="temperature must be above 0"):
        Contrastive(temperature=0)
    with pytest.raises(InvalidInput, match="temperature must be above 0"):
        NormalizedSoftmax(num_classes=2, embedding_size=2, temperature=-1)
    with pytest.raises(InvalidInput, match="num_classes must be at least 2"):
        NormalizedSoftmax(num_classes=1, embedding_size=2)


def test_softmax_says_which_labels_and_sizes_it_takes() -> None:
    loss = NormalizedSoftmax(num_classes=3, embedding_size=D)
    with pytest.raises(InvalidInput, match="labels from 0 to 2, got 1 to 3"):
        loss(normal(), LABELS + 1)
    with pytest.raises(InvalidInput, match=r"embeddings of size 4, .* got 2"):
        loss(normal()[:, :2], LABELS)


def test_repr_names_the_settings() -> None:
    assert repr(Triplet()) == "Triplet(margin=0.05, distance=Cosine(), triplets='all')"
    assert "temperature=0.1" in repr(Contrastive())
    assert "num_classes=3" in repr(NormalizedSoftmax(num_classes=3, embedding_size=D))
