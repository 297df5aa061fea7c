"""A map of embeddings in two dimensions, for looking at; no figure is computed from it.

Shapes: N points, D embedding size, k neighbours.
"""

from __future__ import annotations

import numpy as np

from ilk.distances import Distance, Hyperbolic

__all__ = ["neighbor_map", "poincare_map", "poincare_radius", "principal_axes"]


def principal_axes(embeddings: np.ndarray, *, centred: bool = True) -> np.ndarray:
    """Return the coordinates (N, 2) along the two directions of largest spread.

    The sign of each direction is fixed, so that equal input gives an equal map. Directions that
    do not exist (one point, D = 1) are zero.

    Example:
        >>> principal_axes(np.array([[0.0, 5.0], [4.0, 5.0]]))
        array([[-2.,  0.], [ 2.,  0.]])
    """
    x = np.asarray(embeddings, np.float64)
    x = x - x.mean(0) if centred and len(x) else x
    _, directions = np.linalg.eigh(x.T @ x)
    plane = directions[:, ::-1][:, :2]
    plane = plane * np.where(plane[np.abs(plane).argmax(0), range(plane.shape[1])] < 0, -1, 1)
    flat = np.zeros((len(x), 2))
    flat[:, : plane.shape[1]] = x @ plane
    return flat


def neighbor_map(
    embeddings: np.ndarray,
    distance: Distance,
    *,
    num_neighbors: int = 24,
    num_steps: int = 300,
    seed: int = 0,
) -> np.ndarray:
    """Return positions (N, 2) in which neighbours under `distance` are neighbours on the page.

    t-SNE begun at the principal axes: nearby points attract each other along the k nearest
    neighbours, all points repel each other. What is close is alike; how far apart two groups lie
    and how large they are says nothing. It takes O(N^2) memory and is meant for up to about
    1,500 points. Source: van der Maaten and Hinton, Visualizing data using t-SNE (2008).
    """
    num_points = len(embeddings)
    if num_points < 4:
        return principal_axes(embeddings)
    near, affinity = _affinities(embeddings, distance, min(num_neighbors, num_points - 1))
    start = principal_axes(embeddings)
    noise = np.random.default_rng(seed).normal(size=start.shape)
    start = start / max(float(start.std()), 1e-12) + 0.01 * noise
    position = (start * 1e-2).astype(np.float32)
    velocity, gain = np.zeros_like(position), np.ones_like(position)
    rate = max(50.0, num_points / 4)
    for step in range(num_steps):
        is_early = step < num_steps // 4
        force = _force(position, near, affinity * np.float32(8 if is_early else 1))
        gain = np.where((force > 0) == (velocity > 0), gain * 0.8, gain + 0.2).clip(0.05)
        velocity = (0.5 if is_early else 0.8) * velocity - rate * gain * force
        position = position + velocity
        position -= position.mean(0)
    return position.astype(np.float64)


def poincare_map(embeddings: np.ndarray, distance: Hyperbolic) -> np.ndarray:
    """Return positions (N, 2) in the unit disc: the Poincare ball seen along its main plane.

    A point at distance t from the origin of the embedding lies `poincare_radius(t)` from the
    centre; its angle comes from the two directions of largest spread.
    """
    plane = principal_axes(embeddings, centred=False)
    length = np.hypot(*plane.T)[:, None]
    direction = plane / np.where(length > 0, length, 1)
    ball = distance.poincare(np.asarray(embeddings, np.float64)) * distance.curvature**0.5
    return direction * np.linalg.norm(ball, axis=1)[:, None]


def poincare_radius(length: float, distance: Hyperbolic) -> float:
    """Return how far from the centre of the unit disc a point at distance `length` is drawn.

    Example:
        >>> round(poincare_radius(2.0, Hyperbolic(curvature=1.0)), 4)
        0.7616
    """
    return float(np.tanh(distance.curvature**0.5 * length / 2))


def _affinities(
    embeddings: np.ndarray, distance: Distance, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest of each point and how strongly it is drawn to them, (N, k) each."""
    x = np.asarray(embeddings, np.float32)
    distances = distance.pairwise(x, x)
    np.fill_diagonal(distances, np.inf)
    near = np.argpartition(distances, k - 1, axis=1)[:, :k]
    d = np.take_along_axis(distances, near, 1).astype(np.float64)
    d -= d.min(1, keepdims=True)
    wanted = np.log(max(2.0, k / 3))
    low, high = np.full(len(d), 1e-6), np.full(len(d), 1e6)
    for _ in range(50):  # bisection: each point gets about k / 3 effective neighbours
        sharpness = np.sqrt(low * high)
        weight = np.exp(-d * sharpness[:, None])
        share = weight / weight.sum(1, keepdims=True)
        is_wide = -(share * np.log(share + 1e-30)).sum(1) > wanted
        low, high = np.where(is_wide, sharpness, low), np.where(is_wide, high, sharpness)
    return near, (share / (2 * len(d))).astype(np.float32)


def _force(position: np.ndarray, near: np.ndarray, affinity: np.ndarray) -> np.ndarray:
    """Return the gradient (N, 2) of the divergence between the map and the neighbourhoods."""
    step = position[:, None, :] - position[near]
    pull = (affinity / (1 + (step * step).sum(2)))[:, :, None] * step
    force = pull.sum(1)
    for axis in range(2):
        back = np.bincount(near.ravel(), pull[:, :, axis].ravel(), minlength=len(position))
        force[:, axis] -= back.astype(np.float32)
    # element by element: products this small lose more to waking BLAS threads than they gain
    across, down = (np.subtract.outer(column, column) for column in position.T)
    similarity = across * across
    similarity += down * down
    similarity += 1
    np.reciprocal(similarity, out=similarity)
    np.fill_diagonal(similarity, 0)
    total = max(float(similarity.sum()), 1e-12)
    np.square(similarity, out=similarity)
    push = [np.einsum("ij,ij->i", similarity, step) / total for step in (across, down)]
    return 4 * (force - np.stack(push, 1))
