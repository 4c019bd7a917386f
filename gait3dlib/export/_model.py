"""A whole model: a file a modality, one for the fusion, and what each of them takes."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gait3dlib.errors import ConfigError
from gait3dlib.export._dense import Dense, FusionOnly, by_encoder, dense_form
from gait3dlib.export._onnx import OPSET, Arrays, NotExportable, write_onnx
from gait3dlib.fusion import weights
from gait3dlib.fusion.model import GaitModel
from gait3dlib.modalities import Modality
from gait3dlib.modalities._forces import GROUND, LOADED, SEEN
from gait3dlib.types import Outputs, Tokens

FUSION = "fusion"
SIDECAR = "model.json"
ENDS = ("values", "real", "t_s")
Say = Callable[[str], None]
_CASES = ((1, 1), (2, 5), (3, 8))  # walks and frames; the lengths of a case differ, and one may be 0


@dataclass(frozen=True)
class Exported:
    """What was written, and what was not.

    folder: of the files. files: name of the part -> its file. refused: modality -> why it has no file.
    difference: part -> the largest difference from torch.
    """

    folder: Path
    files: Mapping[str, Path]
    refused: Mapping[str, str]
    difference: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "folder": str(self.folder),
            "files": {name: path.name for name, path in self.files.items()},
            "refused": dict(self.refused),
            "difference": dict(self.difference),
        }


def export_onnx(
    folder: Path | str,
    out: Path | str,
    *,
    modalities: Sequence[str] | None = None,
    progress: Say = lambda text: None,
) -> Exported:
    """Write the encoders and the fusion of a weights folder as ONNX, each compared with torch first.

    Args:
        folder: of trained weights.
        out: folder of the files; made if need be.
        modalities: all that the folder has by default.
        progress: told what is being done.

    Raises:
        WeightsError: the folder holds no weights, or damaged ones.
        ConfigError: not even the fusion can be exported.
        MissingDependency: onnxruntime, which compares, is not installed.
    """
    names = sorted(modalities or weights.available(Path(folder)))
    model, info = weights.load(Path(folder), names)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    refused: dict[str, str] = {}
    difference: dict[str, float] = {}
    said: dict[str, Any] = {}
    tokens: dict[str, Tokens] = {}
    for name, modality in model.modalities.items():
        progress(f"exporting {name}")
        path = out / f"{name}.onnx"
        part = _Encoder(name, modality, model)
        tokens[name] = part.tokens()
        try:
            said[name], difference[name] = part.write(path)
            files[name] = path
        except NotExportable as error:
            refused[name] = str(error)
            path.unlink(missing_ok=True)  # of an earlier export
    progress("exporting the fusion")
    try:
        said[FUSION], difference[FUSION] = _write_fusion(model, tokens, out / f"{FUSION}.onnx")
    except NotExportable as error:
        raise ConfigError(f"the fusion {error}; this kind of fusion runs in torch alone") from error
    files[FUSION] = out / f"{FUSION}.onnx"
    about = _about(model, info, said, refused, difference)
    (out / SIDECAR).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return Exported(out, files, refused, difference)


class _Encoder:
    """One modality's encoder, and frames to try it on."""

    def __init__(self, name: str, modality: Modality, model: GaitModel) -> None:
        self.name, self.modality, self.encoder = name, modality, model.encoders[name]
        self.form = dense_form(self.encoder)

    def tokens(self) -> Tokens:
        """What it makes of two walks, for the fusion."""
        frames, lengths = (torch.from_numpy(x) for x in self.case(2, 5))
        with torch.inference_mode():
            return by_encoder(self.encoder, frames, lengths.clamp(min=1))

    def case(self, walks: int, frames: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Frames that look like this modality's, and lengths: the first full, the last one empty of three."""
        rng = np.random.default_rng([walks, frames])
        lengths = np.array([frames, max(frames - 2, 1), 0][:walks], dtype=np.int64)
        return _frames(self.name, self.modality, rng, (walks, frames)), lengths

    def write(self, path: Path) -> tuple[dict[str, Any], float]:
        """The file, what is said of it, and how far it is from torch.

        Raises:
            NotExportable: says why.
        """
        if isinstance(self.form, str):
            raise NotExportable(self.form)
        form = self.form
        cases = [self._named(form, *self.case(*sizes)) for sizes in (_CASES if form.many else _ALONE)]
        example = {name: torch.from_numpy(array) for name, array in cases[1].items()}
        free = {0: "walks", 1: "frames"} if form.many else {1: "frames"}
        axes: dict[str, dict[int, str]] = {"frames": free}
        if form.many:
            axes["lengths"] = {0: "walks"}
            axes |= {end: {0: "walks"} for end in ENDS}
        worst = write_onnx(form.module, example, ENDS, axes, path, cases, self._wanted)
        return self._told(path, cases[1], form), worst

    def _named(
        self, form: Dense, frames: NDArray[Any], lengths: NDArray[np.int64]
    ) -> dict[str, NDArray[Any]]:
        return {"frames": frames, "lengths": lengths} if form.many else {"frames": frames}

    def _wanted(self, case: Arrays) -> list[NDArray[Any]]:
        frames = torch.from_numpy(case["frames"])
        lengths = torch.from_numpy(case.get("lengths", np.array([frames.shape[1]])))
        with torch.inference_mode():
            tokens = by_encoder(self.encoder, frames, lengths)
        return [getattr(tokens, end).numpy() for end in ENDS]

    def _told(self, path: Path, case: Arrays, form: Dense) -> dict[str, Any]:
        frames = case["frames"]
        shape = ["walks" if form.many else 1, "frames", *frames.shape[2:]]
        inputs: dict[str, Any] = {"frames": {"dtype": str(frames.dtype), "shape": shape}}
        if form.many:
            inputs["lengths"] = {
                "dtype": "int64",
                "shape": ["walks"],
                "meaning": "frames of each walk; 0 = none",
            }
        doc = inspect.getdoc(type(self.modality).prepare) or ""
        return {
            "file": path.name,
            "streams": [spec.name for spec in self.modality.streams],
            "settings": dict(vars(self.modality)),
            "inputs": inputs,
            "outputs": list(ENDS),
            "preprocessing": " ".join(doc.split()),
        }


_ALONE = ((1, 5), (1, 9), (1, 30))  # published networks: one walk at a time; GaitGL wants three frames


def _frames(name: str, modality: Modality, rng: np.random.Generator, size: tuple[int, int]) -> NDArray[Any]:
    if name == "lidar":
        points = int(vars(modality)["points"])
        frames = rng.normal((0, 0, 0.9), 0.2, (*size, 1 + points, 3))
        frames[:, :, 0] = (6.0, 1.0, 1.5)
        return frames.astype(np.float32)
    if name == "force":
        frames = rng.normal(0, 0.5, (*size, GROUND.stop, LOADED + 1))
        frames[..., SEEN] = rng.random(frames.shape[:-1]) < 0.9
        frames[..., LOADED] = rng.random(frames.shape[:-1]) < 0.7
        return frames.astype(np.float32)
    channels = {"skeleton_map": 2, "depth": 3, "skeleton_silhouette": 3}.get(name, 1)
    coarse = rng.integers(0, 256, (*size, channels, 16, 11))
    return coarse.repeat(4, axis=-2).repeat(4, axis=-1).astype(np.uint8)


def _write_fusion(model: GaitModel, tokens: Mapping[str, Tokens], path: Path) -> tuple[dict[str, Any], float]:
    """The fusion and its tasks, on tokens of every modality; what is absent has ``real`` False."""
    names = list(tokens)
    module = FusionOnly(model, {name: tokens[name].height for name in names}).eval()
    cases = [_token_case(tokens, walks) for walks in (2, 1, 4)]
    example = {name: torch.from_numpy(array) for name, array in cases[0].items()}

    def wanted(case: Arrays) -> list[NDArray[Any]]:
        held = {}
        for name in names:
            values, real, t_s = (torch.from_numpy(case[f"{name}.{end}"]) for end in ENDS)
            if real.any():  # in torch a modality that nobody has is not there at all
                held[name] = Tokens(values, real, tokens[name].height, t_s)
        with torch.inference_mode():
            said = model.fuse(held)
        return [value.numpy() for value in vars(said).values() if value is not None]

    with torch.inference_mode():
        outputs = _answers(model.fuse(tokens))
    axes: dict[str, dict[int, str]] = {name: {0: "walks"} for name in (*example, *outputs)}
    worst = write_onnx(module, example, list(outputs), axes, path, cases, wanted)
    inputs = {n: {"dtype": str(x.dtype), "shape": ["walks", *x.shape[1:]]} for n, x in cases[0].items()}
    return {"file": path.name, "inputs": inputs, "outputs": outputs}, worst


def _token_case(tokens: Mapping[str, Tokens], walks: int) -> dict[str, NDArray[Any]]:
    """Tokens of so many walks; each but the first lacks one of the modalities."""
    rng = np.random.default_rng(walks)
    case: dict[str, NDArray[Any]] = {}
    for number, (name, held) in enumerate(tokens.items()):
        n, dim = held.values.shape[1:]
        real = rng.random((walks, n)) < 0.9
        real[:, 0] = True
        if len(tokens) > 1:
            lacks = [row for row in range(1, walks) if (row - 1) % len(tokens) == number]
            real[lacks] = False
        if walks == 1 and number:
            real[:] = False  # one modality alone
        case[f"{name}.values"] = rng.normal(0, 1, (walks, n, dim)).astype(np.float32)
        case[f"{name}.real"] = real
        case[f"{name}.t_s"] = np.full((walks, n), np.nan, np.float32)
    return case


def _answers(outputs: Outputs) -> dict[str, Any]:
    """The outputs that the model has, with their shapes."""
    held = {name: value for name, value in vars(outputs).items() if value is not None}
    return {name: {"shape": ["walks", *value.shape[1:]]} for name, value in held.items()}


def _about(
    model: GaitModel,
    info: Mapping[str, Any],
    said: Mapping[str, Any],
    refused: Mapping[str, str],
    difference: Mapping[str, float],
) -> dict[str, Any]:
    from gait3dlib import __version__

    return {
        "made_by": f"gait3dlib {__version__}",
        "weights": weights.fingerprint(model),
        "trained": bool(info.get("trained")),
        "opset": OPSET,
        "modalities": {name: about for name, about in said.items() if name != FUSION},
        "fusion": said[FUSION],
        "weights_of": sorted(model.modalities),
        "absent": "a modality that a walk lacks: any values, real False, t_s NaN; at least one must be there",
        "compare": "the mean over parts of the dot products of two walks' embeddings; parts have unit length",
        "age_years, bmi_kg_m2": "mean and standard deviation",
        "gender_logits": "1 / (1 + exp(-x)) is the probability of female",
        "refused": dict(refused),
        "difference_from_torch": dict(difference),
    }
