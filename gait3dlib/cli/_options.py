"""Options that several verbs share, and what they mean."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gait3dlib import _resources
from gait3dlib._optional import require
from gait3dlib.cli._output import counting, read_names
from gait3dlib.errors import ConfigError, GalleryError, WeightsError

if TYPE_CHECKING:
    from gait3dlib.data.recordings import WalkSet
    from gait3dlib.pipeline import Pipeline

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]
Weights = Annotated[
    str, typer.Option("--weights", metavar="NAME", help="'default', a folder of weights, or 'none'.")
]
Modalities = Annotated[
    str | None,
    typer.Option(
        "--modalities", metavar="A,B", help="Which to use, such as silhouette,skeleton_map; all by default."
    ),
]
GalleryFile = Annotated[
    Path | None,
    typer.Option(
        "--gallery",
        metavar="FILE",
        help="Who is enrolled; by default $GAIT3D_GALLERY, else a file in your home folder.",
    ),
]
Walk = Annotated[
    int | None,
    typer.Option("--walk", metavar="N", min=0, help="Which walk of the source, from 0; needed if several."),
]
Start = Annotated[
    float | None, typer.Option("--from", metavar="S", help="Use the walk from this second of it on.")
]
Stop = Annotated[
    float | None, typer.Option("--to", metavar="S", help="Use the walk up to this second of it.")
]
Root = Annotated[Path | None, typer.Option("--root", metavar="DIR", help="Where the public data set lies.")]
PartitionFile = Annotated[
    Path | None,
    typer.Option(
        "--partition", metavar="JSON", help="Who is tested: OpenGait's file; by default the one in --root."
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Fixes everything that is drawn by chance.")]

ALL_MODALITIES = ("silhouette", "skeleton_map")


def default_gallery() -> Path:
    """The gallery when none is named: ``$GAIT3D_GALLERY``, else a file in the user's data folder (XDG)."""
    if named := os.environ.get("GAIT3D_GALLERY"):
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME", "")
    home = Path(data) if Path(data).is_absolute() else Path.home() / ".local" / "share"
    return home / "gait3dlib" / "gallery.db"


def gallery_to_read(path: Path | None) -> Path:
    """A gallery that is there.

    Raises:
        GalleryError: it is not.
    """
    place = path or default_gallery()
    if not place.exists():
        raise GalleryError(f"there is no gallery {place}; make one with: gait3d enroll NAME walk.mp4")
    return place


def gallery_if_any(path: Path | None) -> Path | None:
    """A gallery that is there; None where none was named and the default one was never made."""
    return None if path is None and not default_gallery().exists() else gallery_to_read(path)


def gallery_to_write(path: Path | None) -> Path:
    """The gallery to enrol into; its folder is made, for its owner's eyes only."""
    place = path or default_gallery()
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return place


def open_pipeline(weights: str, modalities: str | None, gallery: Path | None = None) -> Pipeline:
    """The pipeline that the options describe; by default with every modality that the weights have."""
    require("torch")
    require("safetensors")
    from gait3dlib.fusion.weights import available
    from gait3dlib.pipeline import Pipeline

    names = read_names(modalities)
    if weights == "none":
        return Pipeline(names or list(ALL_MODALITIES), weights=None, gallery=gallery)
    folder = _resources.weights_folder() if weights == "default" else Path(weights)
    if folder.is_file():
        raise WeightsError(
            f"{folder} is a file; weights are a folder with a .safetensors file a modality, and pickled "
            "checkpoints are never read, because they can run code"
        )
    return Pipeline(names or available(folder) or list(ALL_MODALITIES), weights=folder, gallery=gallery)


def open_set(
    data: Path | None,
    data_set: str | None,
    root: Path | None,
    partition: Path | None,
    split: Literal["all", "train", "test"],
) -> WalkSet:
    """The folder of recordings or the public data set that the options name; indexed with a progress bar.

    Raises:
        ConfigError: none is named, or both are.
    """
    from gait3dlib.data.sets import open_data

    if (data is None) == (data_set is None) or (data_set is None) != (root is None):
        raise ConfigError("name the data: --data DIR for recordings, or --data-set NAME with --root DIR")
    if data is not None:
        if partition is not None:
            raise ConfigError("--partition belongs to --data-set; a folder of recordings has none")
        return open_data(data)
    assert data_set is not None
    asked: dict[str, Any] = {} if partition is None else {"partition": partition}
    with counting("subjects indexed") as progress:
        return open_data(data_set, root=root, split=split, progress=progress, **asked)
