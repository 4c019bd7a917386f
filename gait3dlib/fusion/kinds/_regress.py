"""Labels from tokens in closed form: ridge regression, its strength chosen on people whom it has not seen."""

from __future__ import annotations

import torch

STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of the penalty, in mean eigenvalues of the rows
FEW = 10  # rows in a fold; from fewer nothing is learnt


def regress(
    rows: torch.Tensor, labels: torch.Tensor, fold: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ridge regression (Hoerl and Kennard, Technometrics 1970) of every label on its own.

    Args:
        rows: float64 ``[rows, n]``, centred.
        labels: float64 ``[rows, k]``, standardised; NaN = not known.
        fold: int ``[rows]``, 0 or 1, by person: each half is asked by what the other half says.

    Returns:
        weights ``[n, k]``, and how sure they are ``[k]``: one over the mean square error on people who were
        not seen; 0, and weights of 0, where too few labels are known or the mean does better.
    """
    weights, sure = rows.new_zeros(rows.shape[1], labels.shape[1]), rows.new_zeros(labels.shape[1])
    for k, label in enumerate(labels.T):
        known = ~label.isnan()
        x, y, half = rows[known], label[known], fold[known]
        if min((half == 0).sum(), (half == 1).sum()) < FEW:
            continue
        errors = torch.zeros(len(STRENGTHS), dtype=rows.dtype)
        for side in (0, 1):
            asked = half == side
            for made, weight in enumerate(_ridge(x[~asked], y[~asked])):
                errors[made] += (x[asked] @ weight - y[asked]).square().sum() / len(y)
        if errors.min() < y.square().mean():
            weights[:, k] = _ridge(x, y)[int(errors.argmin())]
            sure[k] = 1 / errors.min().clamp(min=1e-6)
    return weights, sure


def _ridge(x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    """Weights ``[n]`` at every strength."""
    values, axes = torch.linalg.eigh(x.T @ x)
    turned = axes.T @ (x.T @ y)
    level = values.mean().clamp(min=1e-12)
    return [axes @ (turned / (values.clamp(min=0) + strength * level)) for strength in STRENGTHS]
