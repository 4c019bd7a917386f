"""Published gait networks under clear names: any width and depth, any batch of walks of different length.

Every network is built by keywords and called as ``network(x, lengths)``; see :class:`ImageNetwork`. The
checkpoints of OpenGait are read by :mod:`gait3dlib.opengait`.
"""

from gait3dlib.networks._parts import ImageNetwork, TrainOutputs
from gait3dlib.networks.gaitbase import GaitBase, LidarGait

__all__ = ["GaitBase", "ImageNetwork", "LidarGait", "TrainOutputs"]
