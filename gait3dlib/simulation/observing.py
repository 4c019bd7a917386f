"""A walk under conditions, as sensors and estimators give it: the streams of one person.

Silhouettes and key points come from a colour camera, depth and joints from a depth camera that is aligned to
it (the same calibration, the same boxes), points from a LiDAR; each with its own clock, at the same
three-dimensional state. A frame in which the detector finds nobody is no frame of a stream, and a stream
without frames is absent. At night the colour camera mostly finds nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from gait3dlib.errors import InputError, did_you_mean
from gait3dlib.recording import Truth
from gait3dlib.simulation import rig
from gait3dlib.simulation.conditions import Condition
from gait3dlib.simulation.observation import STREAMS, Observation
from gait3dlib.simulation.scene import Actor, Scene
from gait3dlib.simulation.walker import Walker
from gait3dlib.types import GaitSequence, Meta

SCENE_VERSION = 2


def observe_conditions(
    walker: Walker,
    conditions: Sequence[Condition],
    *,
    seed: int,
    seconds: float = 2.0,
    streams: Sequence[str] = STREAMS,
    size: int = 96,
    session: str = "",
) -> list[tuple[GaitSequence, Truth]]:
    """One walk a condition; conditions that share outfit and speed see the same walk at once.

    Args:
        walker: who walks.
        conditions: circumstances, and where each set of sensors stands.
        seed: another seed is another walk of the same person, with other noise.
        seconds: length of the walk.
        streams: of "silhouette", "keypoints" (coco17), "depth" (uint16, mm), "points" and "joints".
        size: pixels of the square crops.
        session: name written to the meta data.

    Returns:
        One (sequence, truth) a condition. Crops have ``boxes`` in the full image. Points are in a
        frame with the LiDAR's foot as origin, joints in one with the camera's (x to where the sensor looks,
        z up from the ground). A sequence in which nobody was found has the first
        of ``streams``, empty. The truth holds the joints ``[T, 24, 3]`` at the times ``joints_t_s`` in the
        frame of the walk, the person's ``style`` and ``shape`` (:data:`gait3dlib.body.SHAPE_NAMES`).

    Raises:
        InputError: an unknown stream, no condition, or a crop of an unreasonable size.
        MissingDependency: the ``simulation`` extra is not installed.
    """
    check_streams(streams, size)
    if not conditions:
        raise InputError("ask for at least one condition, such as Condition()")
    walks: dict[tuple[object, float], Actor] = {}
    out = []
    for number, condition in enumerate(conditions):
        key = (condition.outfit, condition.speed)
        if key not in walks:
            walks[key] = Actor.walking(
                walker, seed=seed, seconds=seconds, speed=condition.speed, outfit=condition.outfit
            )
        stage = walker.rng(6, seed, number)
        sensors = rig.place(condition, stage, seconds)
        people, things = rig.people_of(condition, stage, seconds), rig.things_of(condition, stage, seconds)
        scene = Scene([walks[key], *people], things)
        rng = walker.rng(5, seed, number)
        seen = Observation(scene, condition, sensors, rng, seconds, size).streams(streams)
        meta = Meta("simulated", session, condition.view_deg, MappingProxyType(condition.covariates()))
        out.append((GaitSequence(seen, walker.subject, meta), truth_of(walks[key])))
    return out


def check_streams(streams: Sequence[str], size: int) -> None:
    """Refuse what the scene cannot show.

    Raises:
        InputError: an unknown stream, none, or a crop of an unreasonable size.
    """
    for name in streams:
        if name not in STREAMS:
            raise InputError(f"the simulation has no stream {name!r}{did_you_mean(name, STREAMS)}")
    if not streams or not 8 <= size <= 1024:
        raise InputError("ask for at least one stream, and a crop of 8 to 1024 pixels")


def truth_of(actor: Actor) -> Truth:
    """What no sensor sees: labels, true joints, style and shape."""
    return Truth(
        actor.walker.labels,
        {
            "joints": actor.tape.joints,
            "joints_t_s": actor.start_s + actor.motion.t_s,
            "phase": actor.motion.phase,
            "style": actor.walker.style.vector(),
            "style_of_the_day": actor.motion.style.vector(),
            "shape": actor.walker.body().numbers,
        },
    )


def thinned(truth: Truth) -> Truth:
    """The truth with every fourth state, 30 a second."""
    timed = ("joints", "joints_t_s", "phase")
    held = {name: array[::4] if name in timed else array for name, array in truth.arrays.items()}
    return Truth(truth.labels, held)
