"""What teaches identity, in every recipe: triplets and classes."""

from __future__ import annotations

import torch

from gait3dlib.config import NotNegative, Positive, Share
from gait3dlib.fusion.losses import batch_all_triplet, smoothed_cosine_cross_entropy


class IdentityLoss:
    """Batch-all triplet, and cross-entropy of scaled cosines; the defaults are OpenGait's.

    Args:
        margin: of the triplets.
        triplet: their weight.
        scale: what the cosines with the classes are multiplied by; LidarGait++ has 31.
        smoothing: of the classes.
        classes: their weight; LidarGait++ has 0.1, SMPLGait too.
    """

    def __init__(
        self,
        *,
        margin: NotNegative = 0.2,
        triplet: NotNegative = 1.0,
        scale: Positive = 16.0,
        smoothing: Share = 0.1,
        classes: NotNegative = 1.0,
    ) -> None:
        self.margin, self.triplet = margin, triplet
        self.scale, self.smoothing, self.classes = scale, smoothing, classes

    def __call__(
        self,
        embedding: torch.Tensor,
        people: torch.Tensor,
        logits: torch.Tensor,
        people_of_logits: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Losses "triplet" and "classes".

        Args:
            embedding: ``[n, parts, dim]`` of the whole batch.
            people: int ``[n]``.
            logits: ``[m, parts, classes]``, of this process's walks.
            people_of_logits: int ``[m]``.
        """
        classes = smoothed_cosine_cross_entropy(logits, people_of_logits, self.scale, self.smoothing)
        return {
            "triplet": self.triplet * batch_all_triplet(embedding, people, self.margin),
            "classes": self.classes * classes,
        }
