"""Motion of real people on the body's skeleton: read, fitted by inverse kinematics, cut into strides.

>>> from gait3dlib.simulation.mocap import fit, measured_bvh, read_bvh, straight_strides
>>> walk = fit(measured_bvh(read_bvh("07_01.bvh")))  # doctest: +SKIP
>>> [round(stride.stride_s, 2) for stride in straight_strides(walk)]  # doctest: +SKIP
[1.03, 1.02]
"""

from gait3dlib.simulation.mocap.bvh import Bvh, read_bvh
from gait3dlib.simulation.mocap.capture import Capture, average_body, fit
from gait3dlib.simulation.mocap.folder import Person, RealWalk, Split, real_walks, split
from gait3dlib.simulation.mocap.measured import Measured, measured_bvh, measured_trial, standing_pitch
from gait3dlib.simulation.mocap.strides import Stride, heel_strikes, straight_strides
from gait3dlib.simulation.mocap.trials import MarkerTrial, read_trial

__all__ = [
    "Bvh",
    "Capture",
    "MarkerTrial",
    "Measured",
    "Person",
    "RealWalk",
    "Split",
    "Stride",
    "average_body",
    "fit",
    "heel_strikes",
    "measured_bvh",
    "measured_trial",
    "read_bvh",
    "read_trial",
    "real_walks",
    "split",
    "standing_pitch",
    "straight_strides",
]
