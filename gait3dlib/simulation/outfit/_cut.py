"""What can be worn and carried, and the cut that a seed draws.

Every number is drawn from the outfit's seed alone: what a person wears says nothing of who they are.
Lengths of clothes are fractions of the wearer's leg, as clothes are bought to fit; things have sizes in
metres, but a child's are no larger than the child can carry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from gait3dlib.errors import InputError, did_you_mean

Clothes = Literal["plain", "coat", "skirt", "loose_trousers"]
Carried = Literal["none", "bag", "backpack", "box", "umbrella"]
CLOTHES: tuple[str, ...] = get_args(Clothes)
CARRIED: tuple[str, ...] = get_args(Carried)
GROWN_UP_M = 1.6  # from this height on, things have their full size


@dataclass(frozen=True)
class Outfit:
    """What a walker wears and carries.

    Attributes:
        clothes: "plain" is the body's own skin.
        carried: what is carried, and so how the arms are held (:func:`carry`).
        seed: draws the cut of the cloth, the size of the thing, and the side it is carried on.

    Raises:
        InputError: unknown clothes or thing, or a negative seed.
    """

    clothes: Clothes = "plain"
    carried: Carried = "none"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clothes not in CLOTHES:
            raise InputError(f"no clothes {self.clothes!r}{did_you_mean(self.clothes, CLOTHES)}")
        if self.carried not in CARRIED:
            raise InputError(f"nothing {self.carried!r} to carry{did_you_mean(self.carried, CARRIED)}")
        if self.seed < 0:
            raise InputError(f"the seed of an outfit counts from 0, not {self.seed}")

    def rng(self, part: int) -> np.random.Generator:
        """Random numbers of one part of the outfit; the parts do not disturb each other."""
        return np.random.default_rng([self.seed, part])

    @property
    def side(self) -> int:
        """0 = left, 1 = right: the hand that holds a bag or an umbrella; nine in ten are right-handed."""
        return int(self.rng(0).random() < 0.9)


def size_factor(height_m: float) -> float:
    """How much smaller a child's things are."""
    return min(1.0, height_m / GROWN_UP_M)


@dataclass(frozen=True)
class ShellCut:
    """Cloth that lies on the body.

    Attributes:
        trunk_m: how far it stands off trunk and seat.
        limb_m: how far it stands off arms, or off the thighs in trousers.
        hem_m: how far trousers stand off the ankles.
        fold: share of the looseness that is folds, 0 to 1.
    """

    trunk_m: float
    limb_m: float
    hem_m: float = 0.0
    fold: float = 0.0


@dataclass(frozen=True)
class DrapeCut:
    """Cloth that hangs around both legs.

    Attributes:
        hem: its lower edge in lengths of the thigh below the hip (1 = the knee).
        ease_m: how far it stands off at the top.
        flare: how much wider it gets a metre down, metres.
        fold_m: depth of the folds at the hem.
        folds: how many there are around.
        taper: how much narrower it may get a metre down; 0 = it falls straight.
    """

    hem: float
    ease_m: float
    flare: float
    fold_m: float
    folds: int
    taper: float


def shell_cut(outfit: Outfit, factor: float) -> ShellCut | None:
    """The cloth on the body that this outfit has, or None."""
    thick, loose, hem, fold = outfit.rng(1).random(4)
    if outfit.clothes == "coat":
        return ShellCut((0.018 + 0.022 * thick) * factor, (0.012 + 0.014 * loose) * factor)
    if outfit.clothes == "loose_trousers":
        limb = (0.012 + 0.014 * loose) * factor
        return ShellCut(
            (0.006 + 0.008 * thick) * factor, limb, (0.03 + 0.03 * hem) * factor, 0.3 + 0.4 * fold
        )
    return None


def drape_cut(outfit: Outfit, factor: float) -> DrapeCut | None:
    """The cloth around the legs that this outfit has, or None."""
    hem, ease, flare, fold, folds, taper = outfit.rng(2).random(6)
    if outfit.clothes == "coat":
        return DrapeCut(
            0.85 + 0.4 * hem,
            0.008 * factor,
            0.05 + 0.1 * flare,
            0.012 * fold * factor,
            5 + int(3 * folds),
            0.0,
        )
    if outfit.clothes == "skirt":
        return DrapeCut(
            0.75 + 0.6 * hem,
            (0.008 + 0.006 * ease) * factor,
            0.04 + 0.22 * flare,
            (0.004 + 0.02 * fold) * factor,
            6 + int(4 * folds),
            0.15 * taper,
        )
    return None
