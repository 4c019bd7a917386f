"""Walkers that are drawn, for tests of perception."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.types import Frame, GaitSequence

FPS = 25
STEP_NS = 1_000_000_000 // FPS
HEIGHT, WIDTH = 240, 400
FIGURE = 100  # pixels that a drawn walker is tall; 0.8 heights a second are 3.2 pixels a frame
STRIDE_PX = 3.2


def figure(frame: float, tall: float = FIGURE, swing: float = 1.0) -> NDArray[np.bool_]:
    """A walker as a mask ``[tall, tall]``: head, trunk, and two legs that swing at one stride a second."""
    size = round(tall)
    rows, columns = np.mgrid[:size, :size] / tall - np.array([0.0, 0.5])[:, None, None]
    mask = (rows - 0.08) ** 2 + columns**2 < 0.07**2
    mask |= ((rows - 0.33) / 0.2) ** 2 + (columns / 0.1) ** 2 < 1
    for side in (-1, 1):
        lean = side * swing * 0.5 * np.sin(2 * np.pi * frame / FPS)
        mask |= (abs(columns - lean * (rows - 0.5)) < 0.05) & (rows > 0.45)
    return np.asarray(mask)


def put(image: NDArray[Any], mask: NDArray[np.bool_], x: float, y: float, value: Any = 255) -> None:
    """Paint a mask centred on x with its top at y; what falls outside is lost."""
    top, left = round(y), round(x - mask.shape[1] / 2)
    rows, columns = np.nonzero(mask)
    rows, columns = rows + top, columns + left
    inside = (rows >= 0) & (rows < image.shape[0]) & (columns >= 0) & (columns < image.shape[1])
    image[rows[inside], columns[inside]] = value


def masks(
    count: int,
    *paths: Callable[[int], tuple[float, float] | None],
    tall: Callable[[int], float] = lambda i: FIGURE,
) -> list[NDArray[np.uint8]]:
    """Masks of walkers whose x and top y (or None: not there) the paths give for each frame."""
    out = []
    for i in range(count):
        image = np.zeros((HEIGHT, WIDTH), np.uint8)
        for path in paths:
            if (place := path(i)) is not None:
                put(image, figure(i, tall(i)), *place)
        out.append(image)
    return out


def frames(images: Iterable[NDArray[Any]], name: str = "silhouette", **more: list[Any]) -> Iterator[Frame]:
    for i, image in enumerate(images):
        yield Frame({name: image, **{key: values[i] for key, values in more.items()}}, (i + 1) * STEP_NS)


def across(
    start: float = 60.0, speed: float = STRIDE_PX, top: float = 100.0
) -> Callable[[int], tuple[float, float]]:
    return lambda i: (start + speed * i, top)


def middles(walk: GaitSequence) -> NDArray[np.float32]:
    boxes = walk.streams["silhouette"].boxes
    assert boxes is not None
    return np.asarray(boxes[:, 0] + boxes[:, 2] / 2, dtype=np.float32)
