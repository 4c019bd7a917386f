"""What training minimises: triplet and smoothed cosine cross-entropy for identity, and masked task losses.

Every loss is a scalar. People without a label for a task count for nothing in it; when nobody of the batch
has one, the loss is 0 and still has a graph, so a training step need not know.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from gait3dlib.errors import InputError

_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def batch_all_triplet(embeddings: torch.Tensor, labels: torch.Tensor, margin: float = 0.2) -> torch.Tensor:
    """Mean violation of ``d(anchor, positive) + margin <= d(anchor, negative)`` over all triplets.

    Hermans et al., "In defense of the triplet loss" (2017), batch-all with Euclidean distances, per body
    part: the mean over the triplets that violate, then over parts. As in OpenGait the anchor is among its
    own positives. Identities may have any number of samples.

    Args:
        embeddings: ``[n, parts, dim]``.
        labels: int ``[n]``, below 0 = identity unknown.
        margin: in the units of the embeddings.

    Raises:
        InputError: the shapes do not belong together.
    """
    _check_labels(embeddings, labels, "embeddings")
    known = labels >= 0
    parts, labels = embeddings[known].transpose(0, 1), labels[known]
    # differences are formed one by one: the expanded square is noise at distance 0, and so is its gradient
    distance = torch.cdist(parts, parts, compute_mode="donot_use_mm_for_euclid_dist")
    same = labels[:, None] == labels
    anchor, positive = torch.nonzero(same, as_tuple=True)
    violation = functional.relu(margin + distance[:, anchor, positive, None] - distance[:, anchor])
    violation = violation * ~same[anchor]
    count = (violation > 0).sum(dim=(1, 2))
    return (violation.sum(dim=(1, 2)) / count.clamp(min=1)).mean()


def smoothed_cosine_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, scale: float = 16.0, smoothing: float = 0.1
) -> torch.Tensor:
    """Cross-entropy of scaled cosines with label smoothing (Szegedy et al., 2016), mean over parts.

    Args:
        logits: ``[n, parts, classes]``, the cosine of each part with each class.
        labels: int ``[n]``, below 0 = identity unknown.
        scale: what the cosines are multiplied by.
        smoothing: the share of the target that is spread over all classes.

    Raises:
        InputError: the shapes do not belong together.
    """
    _check_labels(logits, labels, "logits")
    known = labels >= 0
    scaled = scale * logits[known].flatten(0, 1)
    targets = labels[known].repeat_interleave(logits.shape[1])
    total = functional.cross_entropy(scaled, targets, label_smoothing=smoothing, reduction="sum")
    return total / max(len(targets), 1)


def gaussian_nll(prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of a normal distribution, in nats, mean over those labelled.

    Args:
        prediction: ``[n, 2]``, mean and standard deviation (above 0), in the units of the target.
        target: ``[n]``; anything, also NaN, where the mask is False.
        mask: bool ``[n]``, True where the target is known.

    Raises:
        InputError: the shapes do not belong together.
    """
    if prediction.ndim != 2 or prediction.shape[1] != 2:
        raise InputError(f"predictions must be [n, 2] (mean, sd), not {list(prediction.shape)}")
    _check_mask(prediction[:, 0], target, mask)
    mean, sd = prediction[mask].unbind(dim=1)
    each = sd.log() + 0.5 * ((target[mask] - mean) / sd) ** 2 + _HALF_LOG_TAU
    return each.sum() / mask.sum().clamp(min=1)


def masked_bce(logits: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of logits, in nats, mean over those labelled.

    Args:
        logits: ``[n]``.
        target: ``[n]``, 0 to 1; anything, also NaN, where the mask is False.
        mask: bool ``[n]``, True where the target is known.

    Raises:
        InputError: the shapes do not belong together.
    """
    _check_mask(logits, target, mask)
    known = target[mask].to(logits.dtype)
    total = functional.binary_cross_entropy_with_logits(logits[mask], known, reduction="sum")
    return total / mask.sum().clamp(min=1)


def _check_labels(values: torch.Tensor, labels: torch.Tensor, name: str) -> None:
    if values.ndim != 3 or labels.shape != values.shape[:1] or labels.is_floating_point():
        raise InputError(
            f"{name} must be [n, parts, width] with n integer labels, "
            f"not {list(values.shape)} with {labels.dtype} {list(labels.shape)}"
        )


def _check_mask(values: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> None:
    if values.ndim != 1 or not values.shape == target.shape == mask.shape or mask.dtype != torch.bool:
        raise InputError(
            "predictions, targets and a bool mask must have one entry a person, "
            f"not {list(values.shape)}, {list(target.shape)} and {mask.dtype} {list(mask.shape)}"
        )
