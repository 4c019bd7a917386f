"""What sensors see and who walks there, in three dimensions, in the Rerun viewer or in a file for it (.rrd).

Everything lies in one world in metres with z up: the camera with its depth image, and each person's points,
skeleton, body, way and name. Needs the extra ``view``; without it the error says so.

=========================  =======================================================================
entity                     what it is
=========================  =======================================================================
world/camera               where the depth camera stands, and its intrinsics
world/camera/depth         depth, uint16 mm or float32 m
world/points               a LiDAR's scan
people/N/points            points on person N
people/N/skeleton          joints and bones
people/N/body              the body of a walk's ``smpl`` stream
people/N/silhouette        of a walk that has no points
people/N/track             the way so far
people/N/name              the name, or the number
answers                    what was said of every walk
=========================  =======================================================================
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require
from gait3dlib.body import PARENTS, Body
from gait3dlib.errors import InputError
from gait3dlib.recording import Recording, open_recording
from gait3dlib.types import NS_PER_S, UNKNOWN, Calibration, Frame, GaitSequence, Recognition, Stream

if TYPE_CHECKING:
    from gait3dlib.perception.observing import Seen

TIMELINE = "time"
DEPTH_HZ = 10.0  # depth images a second that are shown; points and people come with every frame
WAY = 600  # places of a track that are drawn
NAME_M = 0.25  # above the head
EPOCH_NS = 10**17
BONES = [(child, int(parent)) for child, parent in enumerate(PARENTS) if parent >= 0]
COLOURS = ((66, 133, 244), (219, 68, 55), (244, 180, 0), (15, 157, 88), (171, 71, 188), (0, 172, 193))


class View:
    """A view that is fed; a context manager.

    Args:
        title: of the window.
        out: a file to write; None opens the viewer.

    Raises:
        MissingDependency: the extra ``view`` is not installed.
        InputError: the file cannot be written, or no viewer can be opened.
    """

    def __init__(self, title: str, out: str | os.PathLike[str] | None = None) -> None:
        self._rr = require("rerun")
        self._made = self._rr.RecordingStream("gait3d")
        self._made.send_recording_name(title)
        try:
            if out is None:
                self._made.spawn()
            else:
                Path(out).parent.mkdir(parents=True, exist_ok=True)
                self._made.save(str(out))
        except (RuntimeError, OSError) as error:
            remedy = "write a file instead, with --out FILE.rrd" if out is None else "choose another place"
            raise InputError(f"the view cannot be opened ({_first(error)}); {remedy}") from None
        self._ways: dict[int, deque[NDArray[np.float64]]] = {}
        self._shown: set[int] = set()
        self._depth_ns: int | None = None
        self._camera: Calibration | None = None
        self._put("world", self._rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)

    # ---- live -------------------------------------------------------------------------------------

    def moment(self, moment: Any) -> None:
        """Show a frame of a live loop, a :class:`gait3dlib.live.Moment`, and who is in it."""
        self.frame(moment.frame, moment.camera)
        self.people(moment.people, moment.names)

    def answer(self, answer: Any) -> None:
        """Show an :class:`gait3dlib.live.Answer`."""
        self.said(answer.recognition)

    def frame(self, frame: Frame, camera: Calibration | None) -> None:
        """Show what sensors gave: depth where its camera is known, and scans."""
        self._at(frame.host_t_ns)
        depth = frame.data.get("depth")
        due = self._depth_ns is None or frame.host_t_ns - self._depth_ns >= NS_PER_S / DEPTH_HZ
        if depth is not None and camera is not None and due:
            self._depth_ns = frame.host_t_ns
            self._place(camera)
            self._put("world/camera/depth", self._depth_image(depth))
        for name, points in frame.data.items():
            if name == "points" or name.startswith("points_"):
                self._put(f"world/{name}", self._rr.Points3D(points[:, :3], radii=0.01))

    def people(self, people: Mapping[int, Seen], names: Mapping[int, str]) -> None:
        """Show who is in view, by number of the track; who has gone is cleared."""
        for number, seen in people.items():
            colour = _colour(number)
            if seen.points is not None:
                points = self._rr.Points3D(seen.points[:, :3], colors=[colour], radii=0.012)
                self._put(f"people/{number}/points", points)
            if seen.joints is not None:
                self._skeleton(number, seen.joints)
            if np.isfinite(seen.xy).all():
                height = seen.height_m if np.isfinite(seen.height_m) else 1.7
                self._track(number, seen.xy)
                self._name(number, (*seen.xy, height + NAME_M), names.get(number, f"person {number}"))
        for number in self._shown - people.keys():
            self._put(f"people/{number}", self._rr.Clear(recursive=True))
            self._ways.pop(number, None)
        self._shown = set(people)

    def said(self, recognition: Recognition) -> None:
        """Show an answer as a line of text."""
        self._at(recognition.stop_ns)
        text = recognition.reason or f"{recognition.identity} {recognition.score:.2f}"
        if recognition.known and not recognition.calibrated:
            text += " (uncalibrated)"
        self._put("answers", self._rr.TextLog(f"person {recognition.track}: {text}"))

    # ---- recordings -------------------------------------------------------------------------------

    def recorded(self, path: str | os.PathLike[str]) -> int:
        """Show a recording's walks and raw depth; returns how many walks.

        0 where the file is no recording, or where it holds raw streams of which no walk is known.

        Raises:
            RecordingError: it is damaged.
        """
        if Path(path).suffix not in (".h5", ".hdf5"):
            return 0
        with open_recording(path) as recording:
            if len(recording):
                self._raw(recording)
            for number, seq in enumerate(recording):
                self.walk(number, seq)
            return len(recording)

    def _raw(self, recording: Recording) -> None:
        streams = recording.streams
        if "depth" not in streams:
            return
        t_ns, last = streams.t_ns("depth"), -(10**18)
        for index, at in enumerate(t_ns.tolist()):
            if at - last < NS_PER_S / DEPTH_HZ:
                continue
            last, stream = at, streams.read("depth", index, index + 1)
            if stream.calibration is not None:
                self._at(at)
                self._place(self._camera_of(recording) or stream.calibration)
                self._put("world/camera/depth", self._depth_image(stream.data[0]))

    def _camera_of(self, recording: Recording) -> Calibration | None:
        """The camera placed on the floor by perception, as the walks have it."""
        if self._camera is None:
            found = [seq.streams["depth"].calibration for seq in recording if "depth" in seq.streams]
            self._camera = next((camera for camera in found if camera is not None), None)
        return self._camera

    def walk(self, number: int, seq: GaitSequence) -> None:
        """Show a walk: points, skeleton, body, way and name, frame by frame."""
        name = seq.subject or f"walk {number}"
        points, joints, smpl = (seq.streams.get(n) for n in ("points", "joints", "smpl"))
        if points is not None and points.offsets is not None:
            self._cloud(number, name, points)
        if joints is not None:
            for i, at in enumerate(joints.t_ns.tolist()):
                self._at(at)
                self._skeleton(number, joints.data[i])
                if points is None:
                    self._named_joints(number, name, joints.data[i])
        if smpl is not None:
            self._body(number, smpl)
        if points is None and "silhouette" in seq.streams:
            silhouettes = seq.streams["silhouette"]
            for at, image in zip(silhouettes.t_ns.tolist(), silhouettes.data, strict=True):
                self._at(at)
                self._put(f"people/{number}/silhouette", self._rr.Image(image))
        self._at(seq.start_ns + round(seq.duration_s * NS_PER_S) + NS_PER_S // 2)
        self._put(f"people/{number}", self._rr.Clear(recursive=True))
        self._ways.pop(number, None)

    def _cloud(self, number: int, name: str, points: Stream) -> None:
        for i, at in enumerate(points.t_ns.tolist()):
            cloud = points.frame(i)
            if not len(cloud):
                continue
            self._at(at)
            drawn = self._rr.Points3D(cloud[:, :3], colors=[_colour(number)], radii=0.012)
            self._put(f"people/{number}/points", drawn)
            xy = np.median(cloud[:, :2], axis=0).astype(np.float64)
            self._track(number, xy)
            self._name(number, (*xy, float(cloud[:, 2].max()) + NAME_M), name)

    def _named_joints(self, number: int, name: str, joints: NDArray[Any]) -> None:
        seen = joints[np.isfinite(joints).all(axis=1)]
        if len(seen):
            xy = np.median(seen[:, :2], axis=0).astype(np.float64)
            self._track(number, xy)
            self._name(number, (*xy, float(seen[:, 2].max()) + NAME_M), name)

    def _body(self, number: int, smpl: Stream) -> None:
        if smpl.layout != "free_body":
            return  # SMPL itself is somebody's own, and so are its files
        body = Body.load("low").from_numbers(np.median(smpl.data[:, 75:], axis=0))
        for at, row in zip(smpl.t_ns.tolist(), smpl.data, strict=True):
            skin, _ = body.pose(row[3:75].reshape(1, 24, 3), row[:3][None])
            self._at(at)
            mesh = self._rr.Mesh3D(vertex_positions=skin[0], triangle_indices=body.faces)
            self._put(f"people/{number}/body", mesh)

    # ---- parts ------------------------------------------------------------------------------------

    def _put(self, path: str, what: Any, *, static: bool = False) -> None:
        self._made.log(path, what, static=static)

    def _at(self, t_ns: int) -> None:
        if t_ns > EPOCH_NS:
            self._made.set_time(TIMELINE, timestamp=np.datetime64(t_ns, "ns"))
        else:
            self._made.set_time(TIMELINE, duration=np.timedelta64(t_ns, "ns"))

    def _place(self, camera: Calibration) -> None:
        """The camera's pinhole and its place in the world."""
        world = np.eye(4) if camera.extrinsics is None else np.linalg.inv(camera.extrinsics)
        rr = self._rr
        self._put("world/camera", rr.Transform3D(translation=world[:3, 3], mat3x3=world[:3, :3]))
        pinhole = rr.Pinhole(
            focal_length=[camera.fx, camera.fy],
            principal_point=[camera.cx, camera.cy],
            resolution=[camera.width, camera.height],
        )
        self._put("world/camera/depth", pinhole)

    def _depth_image(self, depth: NDArray[Any]) -> Any:
        metre = 1000.0 if depth.dtype.kind == "u" else 1.0
        return self._rr.DepthImage(depth, meter=metre)

    def _skeleton(self, number: int, joints: NDArray[Any]) -> None:
        seen = np.isfinite(joints).all(axis=1)
        strips = [joints[[a, b]] for a, b in BONES if seen[a] and seen[b]]
        self._put(
            f"people/{number}/skeleton",
            self._rr.LineStrips3D(strips, colors=[_colour(number)] * len(strips), radii=0.01),
        )

    def _track(self, number: int, xy: NDArray[np.float64]) -> None:
        way = self._ways.setdefault(number, deque(maxlen=WAY))
        way.append(np.array([xy[0], xy[1], 0.0]))
        self._put(
            f"people/{number}/track",
            self._rr.LineStrips3D([np.stack(way)], colors=[_colour(number)], radii=0.006),
        )

    def _name(self, number: int, place: tuple[float, ...], name: str) -> None:
        colour = (160, 160, 160) if name.startswith(UNKNOWN) else _colour(number)
        self._put(
            f"people/{number}/name",
            self._rr.Points3D([place], labels=[name], colors=[colour], radii=0.02, show_labels=True),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._made.flush()
        self._made.disconnect()


def _colour(number: int) -> tuple[int, int, int]:
    return COLOURS[number % len(COLOURS)]


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
