"""OpenGait's checkpoints in our networks, and ours under OpenGait's names.

::

    network = gait3dlib.opengait.load("GaitBase_DA-60000.pt", "GaitBase")
    embedding = network(silhouettes, lengths)     # float32 [n, s, 1, 64, 44] in 0..1 -> [n, 256, 16]
    gait3dlib.opengait.save(network, "ours.pt")

Widths, depths and class counts are read off the checkpoint. Every walk of a batch comes out as if it were
alone. To add an architecture, write a file with its rename table and merge its entries into
:data:`ARCHITECTURES`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gait3dlib._optional import require
from gait3dlib.config import check
from gait3dlib.errors import ConfigError, UnknownComponent, WeightsError, did_you_mean

require("torch")  # an error that names the extra, before the imports below fail without one

import torch  # noqa: E402
from torch import nn  # noqa: E402

from gait3dlib.networks.fast import Precision, fast  # noqa: E402
from gait3dlib.opengait import _checkpoint, _fit, _plain, _residual, lidargaitpp, smplgait  # noqa: E402
from gait3dlib.opengait._architecture import Architecture, Names, Shapes, Theirs  # noqa: E402

__all__ = ["ARCHITECTURES", "Architecture", "Names", "Shapes", "Theirs", "load", "save", "state_dict"]

ARCHITECTURES: dict[str, Architecture] = {
    **_residual.ARCHITECTURES,
    **lidargaitpp.ARCHITECTURES,
    **smplgait.ARCHITECTURES,
    **_plain.ARCHITECTURES,
}


def load(
    checkpoint: Path | str,
    architecture: str,
    neck: bool = False,
    precision: Precision | None = None,
    **settings: Any,
) -> nn.Module:
    """A network with the weights of an OpenGait checkpoint, in eval mode, on the CPU, in float32.

    Args:
        checkpoint: a ``.pt`` file: a state dict, or one under ``"model"``. Nothing in it is run.
        architecture: a key of :data:`ARCHITECTURES`.
        neck: answer with the normalised feature after the neck, which some released weights need
            (OpenGait's ``use_emb2``), instead of the embedding before it.
        precision: ``float32``, ``bfloat16`` or ``int8``: the network made fast for answering, see
            :func:`gait3dlib.networks.fast.fast`, which also takes walks to calibrate int8 with. None: as it
            is, to be trained on, moved or saved.
        settings: keywords of the network that no checkpoint can tell, such as sample counts.

    Returns:
        ``network(x, lengths=None)`` -> ``[n, c, parts]``, see :class:`gait3dlib.networks.ImageNetwork`.

    Raises:
        UnknownComponent: there is no such architecture; says "did you mean".
        ConfigError: the architecture has no such setting, no neck or no fast form, or the machine not that
            precision.
        WeightsError: the file is damaged, would run code, or does not fit; says which tensors, and the
            likeliest architecture.
    """
    if architecture not in ARCHITECTURES:
        known = did_you_mean(architecture, ARCHITECTURES)
        raise UnknownComponent(f"unknown architecture {architecture!r}{known}")
    entry = ARCHITECTURES[architecture]
    if neck and "neck" not in entry.keywords:
        raise ConfigError(f"neck: {architecture} has none; load it with neck=False")
    path, changes = Path(checkpoint), {**settings, **({"neck": True} if neck else {})}
    check(entry.network, settings, architecture)
    state = _checkpoint.read(path)
    shapes = Shapes((key, tuple(tensor.shape)) for key, tensor in state.items())
    network = entry.fitting(shapes)
    if network is None:
        raise WeightsError(f"{path}: {_fit.misfit(architecture, shapes, ARCHITECTURES)}")
    if changes:
        network = entry.built({**(entry.settings(shapes) or {}), **changes})
        if entry.shapes(network) != shapes:
            told = ", ".join(settings)
            raise ConfigError(f"{told}: the checkpoint tells its widths, depths and classes; leave them out")
    network.load_state_dict(entry.ours(state, network), assign=True)
    return network.eval() if precision is None else fast(network, precision)


def save(network: nn.Module, checkpoint: Path | str) -> None:
    """Write a network as a checkpoint that OpenGait reads: its state under OpenGait's names, in ``"model"``.

    Raises:
        ConfigError: the network is of no architecture of OpenGait.
    """
    torch.save({"model": state_dict(network)}, checkpoint)


def state_dict(network: nn.Module) -> dict[str, torch.Tensor]:
    """The network's tensors under OpenGait's names, on the CPU.

    Raises:
        ConfigError: the network is of no architecture of OpenGait, or has settings that OpenGait has not.
    """
    known = [entry for entry in ARCHITECTURES.values() if type(network) is entry.network]
    for entry in known:  # one class may be several architectures, each with its own names
        if entry.tells(network):
            return {k: t.detach().cpu().contiguous() for k, t in entry.theirs(network.state_dict()).items()}
    name = type(network).__name__
    if known:
        raise ConfigError(
            f"this {name} has settings that OpenGait's checkpoints cannot tell, such as its bins"
        )
    raise ConfigError(f"{name} is no network of OpenGait; those are: {', '.join(ARCHITECTURES)}")
