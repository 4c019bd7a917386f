"""OpenGait's networks without residual blocks: GaitSet, GaitPart and GaitGL."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from gait3dlib.networks import GaitGL, GaitPart, GaitSet
from gait3dlib.opengait._architecture import Architecture, Names, Shapes, Theirs
from gait3dlib.opengait._reading import bins_of, images

GAITSET: Names = {
    "frames.0.*": "set_block1.forward_block.*.conv",
    "frames.1.*": "set_block2.forward_block.*.conv",
    "frames.2.*": "set_block3.forward_block.*.conv",
    "sets.0.*": "gl_block2.*.conv",
    "sets.1.*": "gl_block3.*.conv",
    "head.linear.weight": "Head.fc_bin",
}
_FEATURE = "Backbone.forward_block.feature."
_MOVES = "TFA.pooling_func.conv1d"
GAITPART: Names = {
    "trunk.*.conv": f"{_FEATURE}*.conv",
    "moves.three.0.weight": Theirs(f"{_MOVES}3x1.*.0.conv.weight", stacked=True),
    "moves.three.1.weight": Theirs(f"{_MOVES}3x1.*.2.conv.weight", stacked=True),
    "moves.five.0.weight": Theirs(f"{_MOVES}3x3.*.0.conv.weight", stacked=True),
    "moves.five.1.weight": Theirs(f"{_MOVES}3x3.*.2.conv.weight", stacked=True),
    "head.linear.weight": "Head.fc_bin",
}
_STAGES = ("GLConvA0", "GLConvA1", "GLConvB2")
GAITGL: Names = {
    "trunk.stem.0": "conv3d.0.conv3d",
    "trunk.stem.1": "conv3d.2.conv3d",
    "trunk.clip": "LTA.0.conv3d",
    # a stage of one block, and a stage of several
    **{f"trunk.stages.{i}.whole": f"{name}.global_conv3d.conv3d" for i, name in enumerate(_STAGES)},
    **{f"trunk.stages.{i}.local": f"{name}.local_conv3d.conv3d" for i, name in enumerate(_STAGES)},
    **{f"trunk.stages.{i}.*.whole": f"{name}.*.global_conv3d.conv3d" for i, name in enumerate(_STAGES)},
    **{f"trunk.stages.{i}.*.local": f"{name}.*.local_conv3d.conv3d" for i, name in enumerate(_STAGES)},
    "exponent": "HPP.p",
    "head.linear.weight": "Head0.fc_bin",
    "head.norm": "Bn",
    "head.classes.weight": "Head1.fc_bin",
    "head.neck.classes": "BNNecks.fc_bin",
    "head.neck.norm": "BNNecks.bn1d",
}


def _read_gaitset(shapes: Shapes) -> dict[str, Any]:
    blocks = [f"set_block{block}.forward_block.0.conv.weight" for block in (1, 2, 3)]
    return {
        "channels": shapes.dim(blocks[0], 1),
        "widths": [shapes.dim(key, 0) for key in blocks],
        "embedding": shapes.dim("Head.fc_bin", 2),
        "bins": bins_of(shapes.dim("Head.fc_bin", 0) // 2),
    }


def _read_gaitpart(shapes: Shapes) -> dict[str, Any]:
    found = [key.removeprefix(_FEATURE).partition(".")[0] for key in shapes if key.startswith(_FEATURE)]
    places = sorted({int(place) for place in found if place.isdecimal()})
    if not places:
        raise KeyError(_FEATURE)
    # a convolution and its activation take two places, and a third one is where the map is halved
    widths = [[shapes.dim(f"{_FEATURE}{places[0]}.conv.weight", 0)]]
    for before, place in pairwise(places):
        if place - before == 3:
            widths.append([])
        widths[-1].append(shapes.dim(f"{_FEATURE}{place}.conv.weight", 0))
    return {
        "channels": shapes.dim(f"{_FEATURE}{places[0]}.conv.weight", 1),
        "widths": widths,
        # no shape tells the strips: two convolutions a stage are OpenGait's CASIA-B type, else its GREW type
        "strips": (1, 4, 8) if all(len(stage) == 2 for stage in widths) else (1, 1, 8),
        "squeezed": shapes.dim(f"{_MOVES}3x1.0.0.conv.weight", 0),
        "embedding": shapes.dim("Head.fc_bin", 2),
        "bins": bins_of(shapes.dim("Head.fc_bin", 0)),
    }


def _read_gaitgl(shapes: Shapes) -> dict[str, Any]:
    convs = [key for key in ("conv3d.0.conv3d.weight", "conv3d.2.conv3d.weight") if key in shapes]
    deep = "GLConvA0.0.global_conv3d.conv3d.weight" in shapes
    stages = [
        [
            shapes.dim(f"{name}.{block}global_conv3d.conv3d.weight", 0)
            for block in ([f"{i}." for i in range(shapes.count(f"{name}."))] if deep else [""])
        ]
        for name in _STAGES
    ]
    separate = "BNNecks.fc_bin" in shapes
    return {
        "channels": shapes.dim(convs[0], 1),
        "stem": [shapes.dim(key, 0) for key in convs],
        "stages": stages,
        # no shape tells the strips: OpenGait's CASIA-B type has eight, its OU-MVLP and GREW type two
        "strips": 2 if deep else 8,
        "embedding": shapes.dim("Head0.fc_bin", 2),
        "parts": shapes.dim("Head0.fc_bin", 0),
        "classes": shapes.classes("BNNecks.fc_bin" if separate else "Head1.fc_bin"),
        "separate_neck": separate,
    }


ARCHITECTURES = {
    "GaitSet": Architecture(GaitSet, _read_gaitset, GAITSET, images(1)),
    "GaitPart": Architecture(GaitPart, _read_gaitpart, GAITPART, images(1)),
    "GaitGL": Architecture(GaitGL, _read_gaitgl, GAITGL, images(1)),
}
