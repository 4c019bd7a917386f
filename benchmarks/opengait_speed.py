"""How fast our networks are beside OpenGait's own code, with the same weights and the same input.

    git clone https://github.com/ShiqiYu/OpenGait && pip install einops torchvision tensorboard
    python benchmarks/opengait_speed.py --opengait OpenGait [--threads 2] [--repeats 7] [--train] [--json]

Forward: one walk of 30 frames through DeepGaitV2-P3D of the Gait3D size, GaitBase and LidarGait. Training
(`--train`): forward, both losses, backward and a step of SGD; ours is torch's fused one. The two codes take
turns, so that what else the machine does falls on both alike; printed are medians, by how much ours is faster
(the median over the turns of their time by ours), and the cosine of our embedding, all parts as one vector,
to that of OpenGait in float32. Weights are random, with batch norms whose statistics come from a few batches.
`--clock cpu` counts the time of the processors instead of the wall's, which says more on a machine that does
other things too, with `--threads 1`.

OpenGait is for academic use only; it is neither part of this project nor copied here. Its networks, modules
and losses are imported from that folder as they are. Replaced is its `base_model.py` alone, which cannot be
imported without CUDA, a process group and a data set: here it only builds the network.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
import types
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from _machine import machine
from torch import nn
from torch.nn import functional

from gait3dlib import opengait
from gait3dlib.fusion.losses import batch_all_triplet, smoothed_cosine_cross_entropy
from gait3dlib.networks import DeepGaitV2, GaitBase, ImageNetwork, LidarGait
from gait3dlib.networks.fast import Precision, fast, figures

WIDTHS, CLASSES = [64, 128, 256, 512], {"DeepGaitV2-P3D": 3000, "GaitBase": 3000, "LidarGait": 250}
OURS: dict[str, Callable[[], ImageNetwork]] = {
    "DeepGaitV2-P3D": lambda: DeepGaitV2(mode="p3d", classes=3000),
    "GaitBase": lambda: GaitBase(classes=3000),
    "LidarGait": lambda: LidarGait(classes=250),
}
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
Clock = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One line: what was timed, both medians in milliseconds, and how they compare."""

    what: str
    precision: str
    theirs_ms: float
    ours_ms: float
    times_faster: float
    cosine: float | None


# ---- OpenGait's own code ---------------------------------------------------------------------------


def opengait_code(folder: Path) -> Callable[[str], nn.Module]:
    """Import OpenGait's networks; gives a function from the name of an architecture to its network."""
    root = folder / "opengait"
    if not (root / "modeling" / "models" / "deepgaitv2.py").exists():
        sys.exit(f"{folder}: no checkout of OpenGait; see the first lines of {Path(__file__).name}")
    sys.path.insert(0, str(root))
    _torchvision()
    for name in ("modeling", "modeling.models", "modeling.backbones", "modeling.losses"):
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")))]
        sys.modules[name] = package
    base = types.ModuleType("modeling.base_model")
    base.BaseModel = Base  # type: ignore[attr-defined]
    sys.modules["modeling.base_model"] = base

    def build(name: str) -> nn.Module:
        deep = name == "DeepGaitV2-P3D"
        found = importlib.import_module("modeling.models." + ("deepgaitv2" if deep else "baseline"))
        made: nn.Module = (found.DeepGaitV2 if deep else found.Baseline)(_settings(name))
        return made

    return build


def _torchvision() -> None:
    """OpenGait takes its residual network, plain Python, from torchvision, which a torch without its compiled
    part cannot import for want of two operators' names."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        global _library
        _library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            _library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


class Base(nn.Module):
    """Builds a network, as OpenGait's base class does, and nothing else."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self.build_network(settings)

    def get_backbone(self, settings: dict[str, Any]) -> nn.Module:
        kind = importlib.import_module("modeling.backbones.resnet").ResNet9
        made: nn.Module = kind(**{key: value for key, value in settings.items() if key != "type"})
        return made


def _settings(name: str) -> dict[str, Any]:
    """What OpenGait's own configs say: DeepGaitV2_gait3d, gaitbase_da_gait3d, lidargait_sustech1k."""
    classes = CLASSES[name]
    if name == "DeepGaitV2-P3D":
        trunk = {"in_channels": 1, "mode": "p3d", "layers": [1, 4, 4, 1], "channels": WIDTHS}
        return {"Backbone": trunk, "SeparateBNNecks": {"class_num": classes}}
    return {
        "backbone_cfg": {
            "type": "ResNet9",
            "block": "BasicBlock",
            "in_channel": 3 if name == "LidarGait" else 1,
            "channels": WIDTHS,
            "layers": [1, 1, 1, 1],
            "strides": [1, 2, 2, 1],
            "maxpool": False,
        },
        "SeparateFCs": {"in_channels": 512, "out_channels": 256, "parts_num": 16},
        "SeparateBNNecks": {"class_num": classes, "in_channels": 256, "parts_num": 16},
        "bin_num": [16],
    }


def answer(network: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
    """OpenGait's forward, as its trainer calls it: pictures of one channel without the axis of channels."""
    pictures = x.squeeze(2) if x.shape[2] == 1 else x
    out: dict[str, Any] = network(([pictures], labels, None, None, None))
    return out


# ---- both ------------------------------------------------------------------------------------------


def twins(name: str, build: Callable[[str], nn.Module]) -> tuple[ImageNetwork, nn.Module]:
    """Our network and OpenGait's with the same weights; the norms have seen some batches."""
    torch.manual_seed(0)
    ours, theirs = OURS[name](), build(name)
    ours.train()
    with torch.no_grad():
        for _ in range(3):
            ours(inputs(ours, 2, 4))
    theirs.load_state_dict(opengait.state_dict(ours))
    return ours.eval(), theirs.eval()


def inputs(network: ImageNetwork, walks: int, frames: int) -> torch.Tensor:
    """Drawn figures with ragged outlines, no two alike: ``[walks, frames, channels, h, w]`` in 0..1."""
    drawn = figures(network.channels, network.sizes[0], frames)
    drawn = drawn.repeat(-(-walks // 2), 1, 1, 1, 1)[:walks]
    shifts = torch.randint(-4, 5, (walks,)).tolist()
    drawn = torch.stack([walk.roll(shift, dims=-1) for walk, shift in zip(drawn, shifts, strict=True)])
    return (drawn + 0.1 * torch.randn_like(drawn)).clamp(0, 1)


def turns(
    theirs: Callable[[], object], ours: Callable[[], object], repeats: int, clock: Clock
) -> tuple[float, float, float]:
    """Both medians in milliseconds, and the median of theirs by ours, turn by turn."""
    theirs(), ours()
    times = []
    for turn in range(repeats):
        took = [0.0, 0.0]
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            start = clock()
            (theirs, ours)[which]()
            took[which] = 1e3 * (clock() - start)
        times.append(took)
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    return medians[0], medians[1], statistics.median(a / b for a, b in times)


def forward(name: str, build: Callable[[str], nn.Module], args: argparse.Namespace) -> list[Row]:
    ours, theirs = twins(name, build)
    x, labels, rows = inputs(ours, 1, args.frames), torch.zeros(1, dtype=torch.long), []
    seen = inputs(ours, 2, args.frames)
    with torch.inference_mode():
        wanted = answer(theirs, x, labels)["inference_feat"]["embeddings"]
        for precision in args.precisions:
            quick = fast(ours, precision, seen)
            near = functional.cosine_similarity(quick(x).flatten(1), wanted.flatten(1)).min()
            theirs_ms, ours_ms, ratio = turns(
                lambda: answer(theirs, x, labels), lambda quick=quick: quick(x), args.repeats, args.clock
            )
            rows.append(Row(f"{name} forward", precision, theirs_ms, ours_ms, ratio, float(near)))
    return rows


def training(name: str, build: Callable[[str], nn.Module], args: argparse.Namespace) -> list[Row]:
    ours, theirs = twins(name, build)
    x, labels = inputs(ours, args.walks, args.train_frames), torch.arange(args.walks) // 2
    theirs_step, rows = their_step(theirs.train(), x, labels), []
    for precision in [given for given in args.precisions if given != "int8"]:
        step = our_step(ours.train(), x, labels, precision)
        theirs_ms, ours_ms, ratio = turns(theirs_step, step, args.repeats, args.clock)
        rows.append(Row(f"{name} training step", precision, theirs_ms, ours_ms, ratio, None))
    return rows


def their_step(network: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    """OpenGait's, in float32: its half precision is CUDA's."""
    if not torch.distributed.is_initialized():  # its losses ask for a group, be it of one
        torch.distributed.init_process_group(
            "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
        )
    triplet = importlib.import_module("modeling.losses.triplet").TripletLoss(margin=0.2)
    entropy = importlib.import_module("modeling.losses.ce").CrossEntropyLoss(scale=16, log_accuracy=True)
    optimiser = sgd(network, fused=False)

    def step() -> None:
        out = answer(network, x, labels)["training_feat"]
        loss = triplet(**out["triplet"])[0].mean() + entropy(**out["softmax"])[0].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def our_step(
    network: ImageNetwork, x: torch.Tensor, labels: torch.Tensor, precision: str
) -> Callable[[], None]:
    optimiser = sgd(network, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            embedding, logits = network.train_outputs(x)
        assert logits is not None
        loss = batch_all_triplet(embedding.float().transpose(1, 2), labels)
        loss = loss + smoothed_cosine_cross_entropy(logits.float().transpose(1, 2), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def sgd(network: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
    settings = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 5e-4}
    return torch.optim.SGD(network.parameters(), **settings, fused=fused)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--opengait", type=Path, required=True, metavar="DIR")
    parser.add_argument("--networks", nargs="+", default=list(OURS), choices=OURS)
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--train", action="store_true", help="the training step instead of the forward pass")
    parser.add_argument("--walks", type=int, default=4, help="walks of a training step, two a person")
    parser.add_argument("--train-frames", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.walks < 4:
        parser.error("--walks: a triplet needs two people, so at least 4")
    told = {"machine": machine(), "torch": torch.__version__, "threads": args.threads}
    told |= {"clock": args.clock, "repeats": args.repeats}
    args.clock = time.perf_counter if args.clock == "wall" else time.process_time
    torch.set_num_threads(args.threads)
    build = opengait_code(args.opengait)
    rows = [row for name in args.networks for row in (training if args.train else forward)(name, build, args)]
    if args.json:
        print(json.dumps({**told, "rows": [asdict(row) for row in rows]}, indent=1))
        return
    print(f"{'':32s} {'':9s} {'OpenGait':>10s} {'ours':>10s} {'faster':>7s} {'cosine':>9s}")
    for row in rows:
        cosine = "" if row.cosine is None else f"{row.cosine:9.6f}"
        times = f"{row.theirs_ms:7.0f} ms {row.ours_ms:7.0f} ms {row.times_faster:6.2f}x"
        print(f"{row.what:32s} {row.precision:9s} {times} {cosine}")


if __name__ == "__main__":
    main()
