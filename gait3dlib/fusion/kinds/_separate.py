"""What tells people apart, in closed form: linear discriminants, and how much to trust each modality.

The model is that of two covariances (Ioffe, "Probabilistic linear discriminant analysis", ECCV 2006): a walk
is its person plus what changes from walk to walk, both normal. The directions are Fisher's, in the order of
how much more people differ than walks of one person do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

RANK = 600  # principal components that are kept before people are looked at
SHRINK = 0.5  # of the covariance within people, towards equal variance in all directions
_STEPS, _PACE, _START_SHARPNESS = 100, 0.1, 12.0

Questions = tuple[list[torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Fold:
    """Walks of people whom the blocks were not fitted on; each has some modality.

    blocks ``[m, walks, n]``, unit vectors of each modality; there bool ``[m, walks]``; people int
    ``[walks]``; compared bool ``[walks, walks]``, False for a walk with itself.
    """

    blocks: torch.Tensor
    there: torch.Tensor
    people: torch.Tensor
    compared: torch.Tensor


def principal(rows: torch.Tensor, rank: int = RANK) -> tuple[torch.Tensor, torch.Tensor]:
    """Axes ``[n, p]`` of most variance of centred ``rows [rows, n]``, and the rows along them, in float64.

    Axes without variance are left out.
    """
    rows = rows.double()
    if len(rows) < rows.shape[1]:  # the smaller of the two products has the same eigenvalues
        values, vectors = torch.linalg.eigh(rows @ rows.T)
        axes = rows.T @ vectors / values.clamp(min=1e-30).sqrt()
    else:
        values, axes = torch.linalg.eigh(rows.T @ rows)
    kept = values > 1e-10 * values[-1:].clamp(min=1e-20)
    axes = axes[:, kept].flip(1)[:, :rank]
    return axes, rows @ axes


def separate(
    rows: torch.Tensor, people: torch.Tensor, copies: int = 1, shrink: float = SHRINK
) -> tuple[torch.Tensor, torch.Tensor]:
    """Directions in which people differ and walks of one person do not.

    Solves ``Sb v = r Sw v`` with ``Sw`` the covariance within people, shrunk, and ``Sb`` that of their means
    less ``Sw`` over the number of walks. Directions are scaled by ``sqrt(r / (1 + r))``, so that the dot
    product counts a direction by how sure it is.

    Args:
        rows: float64 ``[rows, n]``, centred.
        people: int ``[rows]``.
        copies: rows that each walk has.
        shrink: 0 = as measured, 1 = equal variance in all directions.

    Returns:
        directions ``[n, k]``, the best first, and their ratios ``r [k]``, above 0; none where there are fewer
        than two people or nobody has two walks.
    """
    _, people, rows_of = torch.unique(people, return_inverse=True, return_counts=True)
    several = (rows_of > copies).any()
    if len(rows_of) < 2 or not several:
        return rows.new_zeros(rows.shape[1], 0), rows.new_zeros(0)
    means = rows.new_zeros(len(rows_of), rows.shape[1]).index_add_(0, people, rows) / rows_of[:, None]
    off = rows - means[people]
    within = off.T @ off / (rows_of - copies).sum()
    between = torch.cov(means.T).view_as(within) - within * (copies / rows_of.double()).clamp(max=1).mean()
    level = within.diagonal().mean().clamp(min=1e-12)
    shrunk = (1 - shrink) * within + shrink * level * torch.eye(len(within), dtype=within.dtype)
    root = torch.linalg.cholesky(shrunk)
    half = torch.linalg.solve_triangular(root, between, upper=False)
    whitened = torch.linalg.solve_triangular(root, half.T, upper=False)
    ratios, turned = torch.linalg.eigh((whitened + whitened.T) / 2)
    directions = torch.linalg.solve_triangular(root.T, turned, upper=True)
    kept = ratios > 1e-9
    ratios, directions = ratios[kept].flip(0), directions[:, kept].flip(1)
    return directions * (ratios / (1 + ratios)).sqrt(), ratios


@torch.enable_grad()
def weigh(folds: Sequence[Fold]) -> torch.Tensor:
    """How much to trust each modality, as logarithms ``[m]`` of mean 0: whoever is asked for is likeliest.

    Minimises ``-log`` of the share that a walk's own person has in ``softmax(s * score)`` over all walks it
    may be compared with, by the weights and ``s``; the score is the weighted sum of the modalities' cosines.
    """
    trust = torch.zeros(len(folds[0].blocks), requires_grad=True)
    sharpness = torch.tensor(_START_SHARPNESS).log().requires_grad_()
    questions = [made for fold in folds if (made := _questions(fold)) is not None]
    if not questions:
        return trust.detach()
    optimiser = torch.optim.Adam([trust, sharpness], lr=_PACE)
    for _ in range(_STEPS):
        total = torch.zeros(())
        for cosines, there, asked, own, compared in questions:
            weight = trust[:, None].masked_fill(~there, -torch.inf).softmax(dim=0)
            root = weight.clamp(min=1e-12).sqrt()  # the root of nothing has no gradient
            score = sum(r[asked, None] * c * r for r, c in zip(root, cosines, strict=True)) * sharpness.exp()
            right = score.masked_fill(~own, -torch.inf).logsumexp(dim=1)
            total = total + (score.masked_fill(~compared, -torch.inf).logsumexp(dim=1) - right).mean()
        optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return (trust - trust.mean()).detach()


def _questions(fold: Fold) -> Questions | None:
    """Cosines of every modality, and who is asked for: who has a right and a wrong walk to choose from."""
    own = fold.compared & (fold.people[:, None] == fold.people)
    asked = own.any(dim=1) & (fold.compared & ~own).any(dim=1)
    if not asked.any():
        return None
    cosines = [held[asked] @ held.T for held in (fold.blocks * fold.there[..., None]).float()]
    return cosines, fold.there, asked, own[asked], fold.compared[asked]


def dealt(directions: torch.Tensor, parts: int, width: int) -> torch.Tensor:
    """Directions ``[n, k]``, the best first, dealt to parts to and fro: ``[n, parts, width]``, 0 where there
    are too few, so that every part holds as much as another."""
    held = directions.new_zeros(len(directions), parts * width)
    count = min(directions.shape[1], parts * width)
    held[:, :count] = directions[:, :count]
    rounds = held.view(len(directions), width, parts).clone()
    rounds[:, 1::2] = rounds[:, 1::2].flip(2)
    return rounds.transpose(1, 2).contiguous()
