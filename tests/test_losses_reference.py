"""Every loss against loops that a reader can check, in value and gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.losses import Contrastive, Loss, NormalizedSoftmax, Triplet, rows

DISTANCES = (Cosine(), Euclidean(), Hyperbolic(curvature=1.0, max_radius=4.0))
MARGINS = (0.0, 0.05, 0.7, "soft")

Term = Callable[[Tensor], Tensor]


def hinge(margin: float | str) -> Term:
    if margin == "soft":
        return lambda gap: torch.log1p(gap.exp())
    return lambda gap: (gap + float(margin)).clamp(min=0)


def choose_all(d: Tensor, a: int, positives: list[int], negatives: list[int]) -> list[Tensor]:
    return [d[a, p] - d[a, n] for p in positives for n in negatives]


def choose_semi_hard(d: Tensor, a: int, positives: list[int], negatives: list[int]) -> list[Tensor]:
    gaps = []
    for p in positives:
        farther = [n for n in negatives if d[a, n] > d[a, p]]
        negative = min(d[a, n] for n in farther) if farther else max(d[a, n] for n in negatives)
        gaps.append(d[a, p] - negative)
    return gaps


def choose_hardest(d: Tensor, a: int, positives: list[int], negatives: list[int]) -> list[Tensor]:
    if not positives:
        return []
    return [max(d[a, p] for p in positives) - min(d[a, n] for n in negatives)]


CHOICES = {"all": choose_all, "semi-hard": choose_semi_hard, "hardest": choose_hardest}


def triplet_by_loops(d: Tensor, labels: list[int], triplets: str, margin: float | str) -> Tensor:
    terms = []
    for a, label in enumerate(labels):
        positives = [i for i, x in enumerate(labels) if x == label and i != a]
        negatives = [i for i, x in enumerate(labels) if x != label]
        terms += [hinge(margin)(g) for g in CHOICES[triplets](d, a, positives, negatives)]
    active = [term for term in terms if term > 0]
    return sum(active, d.sum() * 0) / max(1, len(active))


def contrastive_by_loops(d: Tensor, labels: list[int], temperature: float) -> Tensor:
    anchors = []
    for a, label in enumerate(labels):
        others = [i for i in range(len(labels)) if i != a]
        positives = [i for i in others if labels[i] == label]
        every = sum((-d[a, i] / temperature).exp() for i in others)
        terms = [-((-d[a, p] / temperature).exp() / every).log() for p in positives]
        if terms:
            anchors.append(sum(terms) / len(terms))
    return torch.stack([torch.as_tensor(a) for a in anchors]).mean()


@st.composite
def batches(draw: st.DrawFn, *, has_ties: bool) -> tuple[Tensor, list[int]]:
    """Uneven classes in any order, some of one item; ties come from duplicates and zeros."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    sizes[0] = max(2, sizes[0])
    labels = draw(st.permutations([7 * c - 3 for c, size in enumerate(sizes) for _ in range(size)]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    embeddings = torch.randn(len(labels), 3, generator=generator, dtype=torch.float64)
    if has_ties:
        embeddings[0] = embeddings[-1]
        embeddings[1] = 0
    return embeddings, labels


def assert_equal(
    loss: Loss,
    reference: Callable[[Tensor], Tensor],
    batch: tuple[Tensor, list[int]],
    *,
    has_gradient: bool = True,
) -> None:
    embeddings = batch[0].clone().requires_grad_()
    value = loss(embeddings, torch.tensor(batch[1]))
    expected = reference(loss.distance.pairwise(embeddings, embeddings))
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)
    if has_gradient:
        (gradient,) = torch.autograd.grad(value, embeddings)
        (expected_gradient,) = torch.autograd.grad(expected, embeddings)
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
@pytest.mark.parametrize("triplets", ["all", "semi-hard", "hardest"])
@settings(deadline=None, max_examples=25)
@given(batch=batches(has_ties=False), margin=st.sampled_from(MARGINS))
def test_triplet_is_the_explicit_loop(
    distance: Distance, triplets: str, margin: float | str, batch: tuple[Tensor, list[int]]
) -> None:
    loss = Triplet(margin=margin, distance=distance, triplets=triplets)  # type: ignore[arg-type]
    assert_equal(loss, lambda d: triplet_by_loops(d, batch[1], triplets, margin), batch)


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
@pytest.mark.parametrize("triplets", ["all", "semi-hard", "hardest"])
@settings(deadline=None, max_examples=15)
@given(batch=batches(has_ties=True), margin=st.sampled_from(MARGINS[1:]))
def test_triplet_is_the_explicit_loop_among_ties(
    distance: Distance, triplets: str, margin: float | str, batch: tuple[Tensor, list[int]]
) -> None:
    """Which of two equally far negatives is pushed is free, so only "all" has one gradient."""
    loss = Triplet(margin=margin, distance=distance, triplets=triplets)  # type: ignore[arg-type]

    def reference(d: Tensor) -> Tensor:
        return triplet_by_loops(d, batch[1], triplets, margin)

    assert_equal(loss, reference, batch, has_gradient=triplets == "all")


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
@settings(deadline=None, max_examples=40)
@given(batch=batches(has_ties=True), temperature=st.sampled_from([0.05, 0.5, 2.0]))
def test_contrastive_is_the_explicit_loop(
    distance: Distance, temperature: float, batch: tuple[Tensor, list[int]]
) -> None:
    loss = Contrastive(temperature=temperature, distance=distance)
    assert_equal(loss, lambda d: contrastive_by_loops(d, batch[1], temperature), batch)


@pytest.mark.parametrize("margin", [0.2, "soft"])
@pytest.mark.parametrize("triplets", ["all", "semi-hard", "hardest"])
def test_result_does_not_depend_on_the_chunks(
    triplets: str, margin: float | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings = torch.randn(23, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.arange(23) % 6
    losses = [Triplet(margin=margin, triplets=triplets), Contrastive()]  # type: ignore[arg-type]
    for loss in losses:
        whole = loss(embeddings, labels)
        (gradient,) = torch.autograd.grad(whole, embeddings)
        for fewest in (1, 5):
            monkeypatch.setattr(rows, "_CHUNK_ELEMENTS", 1)
            monkeypatch.setattr(rows, "_FEWEST_ROWS", fewest)
            part = loss(embeddings, labels)
            torch.testing.assert_close(part, whole, rtol=1e-12, atol=1e-12)
            (part_gradient,) = torch.autograd.grad(part, embeddings)
            torch.testing.assert_close(part_gradient, gradient, rtol=1e-12, atol=1e-12)
        monkeypatch.undo()


def test_float32_keeps_its_digits_in_a_large_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(600, 16, generator=generator) + 30  # nearly parallel: tiny distances
    labels = torch.arange(600) // 3
    loss = Triplet(margin=1e-3, distance=Euclidean())
    single, double = embeddings.requires_grad_(), embeddings.detach().double().requires_grad_()
    value, expected = loss(single, labels), loss(double, labels)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,), (wanted,) = (
        torch.autograd.grad(v, e) for v, e in ((value, single), (expected, double))
    )
    assert (gradient - wanted).norm() < 1e-4 * wanted.norm()


def test_gradient_scales_with_what_comes_from_above() -> None:
    embeddings = torch.randn(8, 3, requires_grad=True)
    labels = torch.arange(8) // 2
    for loss in (Triplet(), Contrastive()):
        (once,) = torch.autograd.grad(loss(embeddings, labels), embeddings)
        (twice,) = torch.autograd.grad(2 * loss(embeddings, labels), embeddings)
        torch.testing.assert_close(twice, 2 * once)


def test_gradient_is_the_slope_of_the_value() -> None:
    embeddings = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    for loss in (Triplet(margin="soft"), Triplet(margin=0.3), Contrastive(temperature=0.5)):
        assert torch.autograd.gradcheck(lambda x, f=loss: f(x, labels), (embeddings,))


def test_info_nce_is_the_textbook_form_for_two_views() -> None:
    first, second = torch.randn(2, 6, 4, dtype=torch.float64)
    views = torch.nn.functional.normalize(torch.cat([first, second]), dim=1)
    logits = (views @ views.T / 0.2).fill_diagonal_(float("-inf"))
    partner = torch.arange(12).roll(6)
    expected = torch.nn.functional.cross_entropy(logits, partner)
    value = Contrastive(temperature=0.2)(torch.cat([first, second]), torch.arange(6).repeat(2))
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)


def test_cosine_normalized_softmax_is_the_published_one() -> None:
    loss = NormalizedSoftmax(num_classes=5, embedding_size=4, temperature=0.06).double()
    embeddings, labels = torch.randn(9, 4, dtype=torch.float64), torch.arange(9) % 5
    normalize = torch.nn.functional.normalize
    cosines = normalize(embeddings, dim=1) @ normalize(loss.class_weights, dim=1).T
    expected = torch.nn.functional.cross_entropy(cosines / 0.06, labels)
    value = loss(embeddings, labels)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)
    for got, wanted in zip(
        torch.autograd.grad(value, loss.class_weights),
        torch.autograd.grad(expected, loss.class_weights),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
def test_normalized_softmax_takes_logits_from_any_distance(distance: Distance) -> None:
    loss = NormalizedSoftmax(num_classes=3, embedding_size=4, temperature=0.5, distance=distance)
    loss = loss.double()
    embeddings, labels = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 2, 1, 1, 0])
    terms = []
    for i, label in enumerate(labels.tolist()):
        d = distance.pairwise(embeddings[i : i + 1], loss.class_weights)[0]
        exps = (-d / 0.5).exp()
        terms.append(-(exps[label] / exps.sum()).log())
    torch.testing.assert_close(loss(embeddings, labels), torch.stack(terms).mean())


def test_learning_separates_classes_and_moves_the_class_weights() -> None:
    torch.manual_seed(0)
    labels = torch.arange(24) % 4
    for make in (
        lambda: Triplet(margin=0.3),
        lambda: Triplet(margin=0.3, triplets="semi-hard"),
        lambda: Triplet(margin="soft", triplets="hardest"),
        lambda: Contrastive(),
        lambda: NormalizedSoftmax(num_classes=4, embedding_size=8),
    ):
        loss = make()
        embeddings = torch.nn.Parameter(torch.randn(24, 8))
        optimizer = torch.optim.Adam([embeddings, *loss.parameters()], lr=0.05)
        for _ in range(150):
            optimizer.zero_grad()
            loss(embeddings, labels).backward()
            optimizer.step()
        d = Cosine().pairwise(embeddings.detach(), embeddings.detach()).fill_diagonal_(9)
        assert (labels[d.argmin(1)] == labels).all(), loss
