"""OpenGait's architectures written out a second time: one walk, NumPy, float64, loops, its own names.

Nothing here is shared with the library. A walk is ``[c, t, h, w]`` in 0..1. Every function takes a state
under OpenGait's names. It returns the embedding ``[c, parts]``, the feature after the neck and logits; the
last two are None where there is no neck.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
State = dict[str, Array]
Answer = tuple[Array, Array | None, Array | None]


def parameter(key: str, shape: tuple[int, ...]) -> Array:
    """The number that the golden networks have at this name: a function of name and shape only."""
    rng = np.random.RandomState(zlib.crc32(key.encode()))
    leaf = key.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        return np.zeros(shape)
    if key.endswith("HPP.p"):
        return np.full(shape, 6.5)
    if leaf == "running_var" or (leaf == "weight" and len(shape) == 1):
        return rng.uniform(0.5, 1.5, shape)
    if len(shape) < 2:  # biases and means
        return 0.1 * rng.standard_normal(shape)
    inputs = shape[1] if leaf == "fc_bin" else int(np.prod(shape[1:]))
    return rng.standard_normal(shape) / np.sqrt(inputs)


# ---- layers ---------------------------------------------------------------------------------------


def conv(
    x: Array, w: Array, stride: tuple[int, int, int] = (1, 1, 1), pad: tuple[int, ...] | None = None
) -> Array:
    """A convolution of ``[c, t, h, w]``; a kernel of two dimensions looks at single frames."""
    if w.ndim == 4:
        w = w[:, :, None]
    pad = tuple(k // 2 for k in w.shape[2:]) if pad is None else pad
    x = np.pad(x, [(0, 0), *((p, p) for p in pad)])
    size = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:], w.shape[2:], stride, strict=True)]
    out = np.zeros((len(w), *size))
    for at in np.ndindex(*w.shape[2:]):
        shifted = tuple(slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(at, stride, size, strict=True))
        out += np.tensordot(w[(slice(None), slice(None), *at)], x[(slice(None), *shifted)], 1)
    return out


def norm(x: Array, state: State, key: str) -> Array:
    mean, var = state[f"{key}.running_mean"], state[f"{key}.running_var"]
    shape = (-1, *[1] * (x.ndim - 1))
    scaled = (x - mean.reshape(shape)) / np.sqrt(var + 1e-5).reshape(shape)
    return scaled * state[f"{key}.weight"].reshape(shape) + state[f"{key}.bias"].reshape(shape)


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.01 * x)


def halve(x: Array) -> Array:
    """The maximum of every 2 x 2 pixels."""
    return np.maximum.reduce([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)])


def strips(maps: Array, counts: tuple[int, ...] = (16,)) -> Array:
    """``[c, h, w]`` -> ``[c, parts]``."""
    columns = []
    for count in counts:
        for strip in np.split(maps, count, axis=1):
            columns.append(strip.mean(axis=(1, 2)) + strip.max(axis=(1, 2)))
    return np.stack(columns, axis=1)


def separate(x: Array, matrices: Array) -> Array:
    return np.stack([x[:, k] @ matrices[k] for k in range(x.shape[1])], axis=1)


def unit(x: Array) -> Array:
    return x / np.linalg.norm(x, axis=0, keepdims=True)


def necked(embedding: Array, state: State) -> Answer:
    feature = norm(embedding.reshape(-1), state, "BNNecks.bn1d").reshape(embedding.shape)
    feature = unit(feature)
    classes = state["BNNecks.fc_bin"]
    logits = np.stack([feature[:, k] @ unit(classes[k]) for k in range(len(classes))], axis=1)
    return embedding, feature, logits


def within_strips(x: Array, w: Array, count: int) -> Array:
    return np.concatenate([conv(part, w) for part in np.split(x, count, axis=2)], axis=2)


# ---- residual networks ----------------------------------------------------------------------------


def numbered(state: State, prefix: str) -> list[str]:
    found = {key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)}
    return [f"{prefix}{number}" for number in sorted(found, key=int)]


def block(x: Array, state: State, key: str, step: int) -> Array:
    """A basic block on frames or on volumes: its kernels tell which."""
    stride = (1, step, step)
    y = relu(norm(conv(x, state[f"{key}.conv1.weight"], stride), state, f"{key}.bn1"))
    y = norm(conv(y, state[f"{key}.conv2.weight"]), state, f"{key}.bn2")
    if f"{key}.downsample.0.weight" in state:
        x = norm(conv(x, state[f"{key}.downsample.0.weight"], stride), state, f"{key}.downsample.1")
    return relu(y + x)


def pseudo_block(x: Array, state: State, key: str, step: int) -> Array:
    stride, first, second = (1, step, step), f"{key}.conv1.forward_block", f"{key}.conv2.forward_block"
    y = relu(norm(conv(x, state[f"{first}.0.weight"], stride), state, f"{first}.1"))
    y = relu(y + norm(conv(y, state[f"{key}.shortcut3d.weight"]), state, f"{key}.sbn"))
    y = norm(conv(y, state[f"{second}.0.weight"]), state, f"{second}.1")
    if f"{key}.downsample.0.weight" in state:
        x = norm(conv(x, state[f"{key}.downsample.0.weight"], stride), state, f"{key}.downsample.1")
    return relu(y + x)


def layer(x: Array, state: State, prefix: str, step: int, how: Callable[..., Array] = block) -> Array:
    for index, key in enumerate(numbered(state, prefix)):
        x = how(x, state, key, 1 if index else step)
    return x


def stem(x: Array, state: State, key: str) -> Array:
    return relu(norm(conv(x, state[f"{key}.0.weight"]), state, f"{key}.1"))


def finished(x: Array, state: State) -> Answer:
    parts = len(state["FCs.fc_bin"])
    counts = (16, 8, 4, 2, 1) if parts == 31 else (parts,)
    return necked(separate(strips(x.max(axis=1), counts), state["FCs.fc_bin"]), state)


def gaitbase(state: State, x: Array) -> Answer:
    base = "Backbone.forward_block"
    x = relu(norm(conv(x, state[f"{base}.conv1.conv.weight"]), state, f"{base}.bn1"))
    for number, step in ((1, 1), (2, 2), (3, 2), (4, 1)):
        x = layer(x, state, f"{base}.layer{number}.", step)
    return finished(x, state)


def deepgaitv2(state: State, x: Array) -> Answer:
    pseudo = any("shortcut3d" in key for key in state)
    x = stem(x, state, "layer0.forward_block")
    x = layer(x, state, "layer1.forward_block.", 1)
    for number, step in ((2, 2), (3, 2), (4, 1)):
        wrapped = f"layer{number}.forward_block."
        prefix = wrapped if any(key.startswith(wrapped) for key in state) else f"layer{number}."
        x = layer(x, state, prefix, step, pseudo_block if pseudo else block)
    return finished(x, state)


def skeletongait_pp(state: State, x: Array) -> Answer:
    maps = layer(stem(x[:2], state, "map_layer0.forward_block"), state, "map_layer1.forward_block.", 1)
    sils = layer(stem(x[2:], state, "sil_layer0.forward_block"), state, "sil_layer1.forward_block.", 1)
    score, key = np.concatenate([sils, maps]), "fusion.conv.forward_block"
    for number in (0, 3):
        score = relu(norm(conv(score, state[f"{key}.{number}.weight"]), state, f"{key}.{number + 1}"))
    score = np.exp(conv(score, state[f"{key}.6.weight"]))
    of_sils, of_maps = score[: len(sils)], score[len(sils) :]
    x = (sils * of_sils + maps * of_maps) / (of_sils + of_maps)
    for number, step in ((2, 2), (3, 2), (4, 1)):
        x = layer(x, state, f"layer{number}.", step, pseudo_block)
    return finished(x, state)


# ---- networks without residual blocks -------------------------------------------------------------


def gaitset(state: State, x: Array) -> Answer:
    def two(x: Array, key: str) -> Array:
        return leaky(conv(leaky(conv(x, state[f"{key}.0.conv.weight"])), state[f"{key}.2.conv.weight"]))

    def most(x: Array) -> Array:
        return x.max(axis=1, keepdims=True)

    x = halve(two(x, "set_block1.forward_block"))
    whole = halve(two(most(x), "gl_block2"))
    x = halve(two(x, "set_block2.forward_block"))
    whole = two(whole + most(x), "gl_block3")
    x = most(two(x, "set_block3.forward_block"))
    counts = (16, 8, 4, 2, 1)
    pooled = np.concatenate([strips(x[:, 0], counts), strips((x + whole)[:, 0], counts)], axis=1)
    return separate(pooled, state["Head.fc_bin"]), None, None


def gaitpart(state: State, x: Array) -> Answer:
    prefix = "Backbone.forward_block.feature."
    places = [int(key.rpartition(".")[2]) for key in numbered(state, prefix)]
    counts = {6: (1, 1, 4, 4, 8, 8), 8: (1, 1, 1, 1, 8, 8, 8, 8)}[len(places)]
    for index, (place, count) in enumerate(zip(places, counts, strict=True)):
        if index and place - places[index - 1] == 3:
            x = halve(x)
        x = leaky(within_strips(x, state[f"{prefix}{place}.conv.weight"], count))
    frames = [strips(x[:, t]) for t in range(x.shape[1])]
    parts = [np.stack([frame[:, p] for frame in frames], axis=1) for p in range(16)]
    pooled = [_moves(part, state, p) for p, part in enumerate(parts)]
    return separate(np.stack(pooled, axis=1), state["Head.fc_bin"]), None, None


def _moves(x: Array, state: State, part: int) -> Array:
    """``[c, t]`` -> ``[c]``."""
    total = np.zeros_like(x)
    for name, window in (("3x1", 3), ("3x3", 5)):
        key = f"TFA.pooling_func.conv1d{name}.{part}"
        hidden = leaky(along_time(x, state[f"{key}.0.conv.weight"]))
        gate = 1 / (1 + np.exp(-along_time(hidden, state[f"{key}.2.conv.weight"])))
        for t in range(x.shape[1]):
            near = x[:, max(t - window // 2, 0) : t + window // 2 + 1]
            total[:, t] += gate[:, t] * (near.sum(axis=1) / window + near.max(axis=1))
    return total.max(axis=1)


def along_time(x: Array, w: Array) -> Array:
    """A zero padded convolution of ``[c, t]``."""
    return conv(x[:, :, None, None], w[..., None, None])[:, :, 0, 0]


def gaitgl(state: State, x: Array) -> Answer:
    if x.shape[1] < 3:
        x = np.concatenate([x] * (3 if x.shape[1] == 1 else 2), axis=1)
    deep = "conv3d.2.conv3d.weight" in state
    for number in (0, 2) if deep else (0,):
        x = leaky(conv(x, state[f"conv3d.{number}.conv3d.weight"]))
    x = leaky(conv(x, state["LTA.0.conv3d.weight"], (3, 1, 1), (0, 0, 0)))
    names = ["GLConvA0", "GLConvA1", "GLConvB2"]
    keys = [f"{name}{end}" for name in names for end in ((".0", ".1") if deep else ("",))]
    for key in keys:
        if key == (f"{names[1]}.0" if deep else names[1]):
            x = halve(x)
        whole = conv(x, state[f"{key}.global_conv3d.conv3d.weight"])
        local = within_strips(x, state[f"{key}.local_conv3d.conv3d.weight"], 2 if deep else 8)
        last = key == keys[-1]
        x = leaky(np.concatenate([whole, local], axis=2)) if last else leaky(whole) + leaky(local)
    power = state["HPP.p"]
    rows = (np.maximum(x.max(axis=1), 1e-6) ** power).mean(axis=2) ** (1 / power)
    out = separate(rows, state["Head0.fc_bin"])
    if "BNNecks.fc_bin" in state:
        return necked(out, state)
    embedding = norm(out, state, "Bn")
    return embedding, None, separate(embedding, state["Head1.fc_bin"])


BY_HAND: dict[str, Callable[[State, Array], Answer]] = {
    "GaitBase": gaitbase,
    "DeepGaitV2-2D": deepgaitv2,
    "DeepGaitV2-P3D": deepgaitv2,
    "DeepGaitV2-3D": deepgaitv2,
    "SkeletonGait": deepgaitv2,
    "SkeletonGait++": skeletongait_pp,
    "LidarGait": gaitbase,
    "GaitSet": gaitset,
    "GaitPart": gaitpart,
    "GaitGL": gaitgl,
}
