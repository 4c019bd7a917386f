"""Published gait networks under clear names: any width and depth, any batch of walks of different length.

Every network is built by keywords and called as ``network(x, lengths)``; see :class:`ImageNetwork`. The
checkpoints of OpenGait are read by :mod:`gait3dlib.opengait`.
"""

from gait3dlib.networks._parts import ImageNetwork, TrainOutputs
from gait3dlib.networks.deepgaitv2 import DeepGaitV2, SkeletonGait, SkeletonGaitPP
from gait3dlib.networks.gaitbase import GaitBase, LidarGait
from gait3dlib.networks.gaitgl import GaitGL
from gait3dlib.networks.gaitpart import GaitPart
from gait3dlib.networks.gaitset import GaitSet
from gait3dlib.networks.lidargaitpp import LidarGaitPP
from gait3dlib.networks.smplgait import SMPLGait

__all__ = [
    "DeepGaitV2",
    "GaitBase",
    "GaitGL",
    "GaitPart",
    "GaitSet",
    "ImageNetwork",
    "LidarGait",
    "LidarGaitPP",
    "SMPLGait",
    "SkeletonGait",
    "SkeletonGaitPP",
    "TrainOutputs",
]
