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
        collar: how high a coat's collar is; 0 = at the neck's joint, 1 = at the head's.
        hem: height of trousers' lower edge over that of the ankle.
        hem_m: how far trousers stand off there.
        fold: share of the looseness that is folds, 0 to 1.
    """

    trunk_m: float
    limb_m: float
    collar: float = 0.0
    hem: float = 0.0
    hem_m: float = 0.0
    fold: float = 0.0


@dataclass(frozen=True)
class DrapeCut:
    """Cloth that hangs around both legs.

    Attributes:
        top: where it leaves the trunk; 0 = at the waist, 1 = at the thorax's joint.
        hem: its lower edge in lengths of the thigh below the hip (1 = the knee).
        edge_m: how far it stands off at its upper edge; below zero it starts inside a coat's shell.
        ease_m: how far it stands off below that.
        flare: how much wider it gets a metre down, metres.
        fold_m: depth of the folds at the hem.
        folds: how many there are around.
        taper: how much narrower it may get a metre down; 0 = it falls straight.
    """

    top: float
    hem: float
    edge_m: float
    ease_m: float
    flare: float
    fold_m: float
    folds: int
    taper: float


def shell_cut(outfit: Outfit, factor: float) -> ShellCut | None:
    """The cloth on the body that this outfit has, or None; ``factor`` is :func:`size_factor`."""
    thick, loose, collar, hem, wide, fold = outfit.rng(1).random(6)
    if outfit.clothes == "coat":
        trunk, limb = 0.016 + 0.018 * thick, 0.012 + 0.012 * loose
        return ShellCut(trunk * factor, limb * factor, collar=-0.2 + 0.4 * collar)
    if outfit.clothes == "loose_trousers":
        trunk, limb, away = 0.006 + 0.008 * thick, 0.012 + 0.014 * loose, 0.025 + 0.03 * wide
        return ShellCut(
            trunk * factor, limb * factor, hem=0.6 + 0.7 * hem, hem_m=away * factor, fold=0.3 + 0.4 * fold
        )
    return None


def drape_cut(outfit: Outfit, factor: float) -> DrapeCut | None:
    """The cloth around the legs that this outfit has, or None; ``factor`` is :func:`size_factor`."""
    top, hem, loose, flare, fold, folds, taper = outfit.rng(2).random(7)
    ease = (0.006 + 0.006 * loose) * factor
    if outfit.clothes == "coat":
        return DrapeCut(
            top=0.0 if top < 0.3 else 0.9,  # with a belt, or straight from the chest
            hem=0.8 + 0.45 * hem,
            edge_m=-0.012 * factor,
            ease_m=0.6 * ease,
            flare=0.02 + 0.1 * flare,
            fold_m=0.012 * fold * factor,
            folds=5 + int(3 * folds),
            taper=0.0,
        )
    if outfit.clothes == "skirt":
        return DrapeCut(
            top=0.0,
            hem=0.75 + 0.6 * hem,
            edge_m=ease,
            ease_m=ease,
            flare=0.04 + 0.22 * flare,
            fold_m=(0.004 + 0.02 * fold) * factor,
            folds=6 + int(4 * folds),
            taper=0.15 * taper,
        )
    return None
