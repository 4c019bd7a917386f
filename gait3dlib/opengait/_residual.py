"""OpenGait's residual networks: GaitBase, LidarGait, DeepGaitV2, SkeletonGait and SkeletonGait++."""

from __future__ import annotations

from typing import Any

from gait3dlib.networks import DeepGaitV2, GaitBase, LidarGait, SkeletonGait, SkeletonGaitPP
from gait3dlib.opengait._architecture import Architecture, Names, Shapes, Theirs, nested
from gait3dlib.opengait._reading import images, read_head

HEAD: Names = {
    "head.linear.weight": "FCs.fc_bin",
    "head.neck.classes": "BNNecks.fc_bin",
    "head.neck.norm": "BNNecks.bn1d",
}
BLOCK: Names = {
    "first.conv": "conv1",
    "first.norm": "bn1",
    "second.conv": "conv2",
    "second.norm": "bn2",
    "skip.conv": "downsample.0",
    "skip.norm": "downsample.1",
}
# what is one kernel of space or of time here is one of a volume there
PSEUDO_BLOCK: Names = {
    "first.conv": "conv1.forward_block.0",
    "first.norm": "conv1.forward_block.1",
    "time.conv": Theirs("shortcut3d", trailing=1),
    "time.norm": "sbn",
    "second.conv": "conv2.forward_block.0",
    "second.norm": "conv2.forward_block.1",
    "skip.conv": Theirs("downsample.0", trailing=1),
    "skip.norm": "downsample.1",
}
_BACKBONE = "Backbone.forward_block"
_WRAPPED = "forward_block."  # what OpenGait puts around a layer of single frames

GAITBASE: Names = {
    "trunk.stem.conv": f"{_BACKBONE}.conv1.conv",
    "trunk.stem.norm": f"{_BACKBONE}.bn1",
    **nested("trunk.stages.0.*", f"{_BACKBONE}.layer1.*", BLOCK),
    **nested("trunk.stages.1.*", f"{_BACKBONE}.layer2.*", BLOCK),
    **nested("trunk.stages.2.*", f"{_BACKBONE}.layer3.*", BLOCK),
    **nested("trunk.stages.3.*", f"{_BACKBONE}.layer4.*", BLOCK),
    **HEAD,
}
SKELETONGAIT_PP: Names = {
    "trunk.silhouette_stem.conv": "sil_layer0.forward_block.0",
    "trunk.silhouette_stem.norm": "sil_layer0.forward_block.1",
    "trunk.map_stem.conv": "map_layer0.forward_block.0",
    "trunk.map_stem.norm": "map_layer0.forward_block.1",
    **nested("trunk.silhouette_first.*", "sil_layer1.forward_block.*", BLOCK),
    **nested("trunk.map_first.*", "map_layer1.forward_block.*", BLOCK),
    "trunk.attention.squeeze.conv": "fusion.conv.forward_block.0",
    "trunk.attention.squeeze.norm": "fusion.conv.forward_block.1",
    "trunk.attention.mix.conv": "fusion.conv.forward_block.3",
    "trunk.attention.mix.norm": "fusion.conv.forward_block.4",
    "trunk.attention.expand": "fusion.conv.forward_block.6",
    **nested("trunk.stages.0.*", "layer2.*", PSEUDO_BLOCK),
    **nested("trunk.stages.1.*", "layer3.*", PSEUDO_BLOCK),
    **nested("trunk.stages.2.*", "layer4.*", PSEUDO_BLOCK),
    **HEAD,
}


def _deepgaitv2(block: Names, wrapped: str = "") -> Names:
    return {
        "trunk.stem.conv": "layer0.forward_block.0",
        "trunk.stem.norm": "layer0.forward_block.1",
        **nested("trunk.first.*", "layer1.forward_block.*", BLOCK),
        **nested("trunk.stages.0.*", f"layer2.{wrapped}*", block),
        **nested("trunk.stages.1.*", f"layer3.{wrapped}*", block),
        **nested("trunk.stages.2.*", f"layer4.{wrapped}*", block),
        **HEAD,
    }


DEEPGAITV2 = {"2d": _deepgaitv2(BLOCK, _WRAPPED), "3d": _deepgaitv2(BLOCK), "p3d": _deepgaitv2(PSEUDO_BLOCK)}


def _read_gaitbase(shapes: Shapes) -> dict[str, Any]:
    layers = [f"{_BACKBONE}.layer{stage}." for stage in (1, 2, 3, 4)]
    channels = shapes.dim(f"{_BACKBONE}.conv1.conv.weight", 1)
    return {
        "channels": 1 if channels == 3 else channels,  # three are LidarGait's
        "widths": [shapes.dim(f"{layer}0.conv1.weight", 0) for layer in layers],
        "depths": [shapes.count(layer) for layer in layers],
        **read_head(shapes),
    }


def _read_deep(shapes: Shapes, first: str, layers: list[str], conv: str) -> dict[str, Any]:
    widths = [shapes.dim(f"{layer}0.{conv}.weight", 0) for layer in layers]
    return {
        "widths": [shapes.dim(f"{first}0.conv1.weight", 0), *widths],
        "depths": [shapes.count(layer) for layer in (first, *layers)],
        **read_head(shapes),
    }


def _read_deepgaitv2(shapes: Shapes, mode: str) -> dict[str, Any]:
    layers = [f"layer{stage}.{_WRAPPED if mode == '2d' else ''}" for stage in (2, 3, 4)]
    conv = "conv1.forward_block.0" if mode == "p3d" else "conv1"
    channels = shapes.dim("layer0.forward_block.0.weight", 1)
    if mode == "p3d" and channels == 2:
        channels = 1  # two are SkeletonGait's
    settings = _read_deep(shapes, f"layer1.{_WRAPPED}", layers, conv)
    return {"channels": channels, **settings}


def _read_skeletongait(shapes: Shapes) -> dict[str, Any]:
    settings = _read_deepgaitv2(shapes, "p3d")
    return {key: value for key, value in settings.items() if key != "channels"}


def _read_skeletongait_pp(shapes: Shapes) -> dict[str, Any]:
    layers = [f"layer{stage}." for stage in (2, 3, 4)]
    settings = _read_deep(shapes, f"sil_layer1.{_WRAPPED}", layers, "conv1.forward_block.0")
    return {"squeezed": shapes.dim("fusion.conv.forward_block.0.weight", 0), **settings}


def _of_mode(mode: str) -> Architecture:
    def read(shapes: Shapes) -> dict[str, Any]:
        return _read_deepgaitv2(shapes, mode)

    return Architecture(DeepGaitV2, read, DEEPGAITV2[mode], images(1), {"mode": mode})


def _read_lidargait(shapes: Shapes) -> dict[str, Any]:
    return {**_read_gaitbase(shapes), "channels": 3}


ARCHITECTURES = {
    "GaitBase": Architecture(GaitBase, _read_gaitbase, GAITBASE, images(1)),
    "DeepGaitV2-2D": _of_mode("2d"),
    "DeepGaitV2-P3D": _of_mode("p3d"),
    "DeepGaitV2-3D": _of_mode("3d"),
    "SkeletonGait": Architecture(SkeletonGait, _read_skeletongait, DEEPGAITV2["p3d"], images(2)),
    "SkeletonGait++": Architecture(SkeletonGaitPP, _read_skeletongait_pp, SKELETONGAIT_PP, images(3)),
    "LidarGait": Architecture(LidarGait, _read_lidargait, GAITBASE, images(3, 64, 64)),
}
