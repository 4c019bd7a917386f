"""The live loop: capture, perception and recognition, each at its own pace.

Capture is the pump's thread; perception is a thread that follows people and cuts their walks out; recognition
runs wherever the loop is iterated. Between them are queues that cannot grow. While a sensor is live, the
oldest waiting frame or walk is dropped and counted; a file waits, so none of it is lost.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import Self

import numpy as np

from gait3dlib.errors import InputError, NoEvidence, UntrainedError
from gait3dlib.live._eyes import Eyes
from gait3dlib.live._nouns import Answer, Moment, refused, stop_ns, unjudged
from gait3dlib.live._numbers import KEPT, LiveStats, Rate, percentiles
from gait3dlib.live._stage import Stage
from gait3dlib.live._together import walks_live
from gait3dlib.live.gate import Gate
from gait3dlib.perception.observing import Refusal
from gait3dlib.pipeline import Pipeline
from gait3dlib.sensors import Pump, Rig
from gait3dlib.sensors._order import PacketCounts
from gait3dlib.sensors._realsense_frames import FrameCounts
from gait3dlib.types import NS_PER_S, UNKNOWN, Frame, GaitSequence, Recognition, Sensor, Stream

WALKS_WAIT = 8  # walks that may wait for recognition
FRAMES_WAIT = 15  # frames that may wait for perception: half a second, by which a name may come later
EPOCH_NS = 10**17  # later stamps than 1973 count from 1970: the host's own clock
WARM_FRAMES = 30
TIMES_KEPT = 4096  # frames whose time of arrival is remembered


class Live:
    """Recognises people in front of sensors; a context manager that yields an :class:`Answer` a person.

    >>> with Live(pipeline, open_sensor("realsense")) as live:  # doctest: +SKIP
    ...     for answer in live:
    ...         print(answer.recognition.identity, answer.recognition.score)

    Iterate it in the thread that made the pipeline. It ends when the sensor does, or after :meth:`stop`.

    Args:
        pipeline: with trained weights. Where nobody is enrolled, walks are described, and nobody is searched.
            None only finds walks.
        sensors: closed sensors; several are one rig.
        gate: what is good enough to be judged.
        pose: take keypoints from colour (extra ``pose``).
        source: kept as each walk's ``meta.source``.
        walks: look for people; otherwise frames only pass.
        on_open: called when the sensors are open, before the first frame.
        on_frame: called with every frame in a thread of its own, such as a recorder's; it may return
            False to end the loop.
        on_moment: called in perception's thread with every frame and who is seen in it, such as a view's.
        options: for the pump of each sensor, such as ``timeout_s``.

    Raises:
        InputError: no sensor is given.
        UntrainedError: the weights were never trained.
    """

    def __init__(
        self,
        pipeline: Pipeline | None,
        sensors: Sensor | Sequence[Sensor],
        *,
        gate: Gate | None = None,
        pose: bool = True,
        source: str = "",
        walks: bool = True,
        on_open: Callable[[Pump | Rig], None] | None = None,
        on_frame: Callable[[Frame], object] | None = None,
        on_moment: Callable[[Moment], None] | None = None,
        **options: float,
    ) -> None:
        some = list(sensors) if isinstance(sensors, Sequence) else [sensors]
        if not some:
            raise InputError("the live loop needs at least one sensor")
        if pipeline is not None and not pipeline.trained:
            raise UntrainedError(
                "these weights were never trained, so names would be guesses; train with: gait3d train"
            )
        self.pipeline, self.gate = pipeline, gate or Gate()
        if on_frame is None and not any(hasattr(sensor, "queue_size") for sensor in some):
            options.setdefault("queue_size", FRAMES_WAIT)
        self.frames: Pump | Rig = Pump(some[0], **options) if len(some) == 1 else Rig(some, **options)  # type: ignore[arg-type]
        self._pose, self._source, self._looking = pose, source, walks
        self._on_open, self._on_frame = on_open, on_frame
        self._on_moment = on_moment
        self._eyes = Eyes(self._late)
        self._stack, self._stages = ExitStack(), ExitStack()
        self._walks: Stage[GaitSequence | Refusal] | None = None
        self._tape: Stage[Frame] | None = None
        self._rate, self._perceived = Rate(), 0
        self._arrived: deque[tuple[int, float]] = deque(maxlen=TIMES_KEPT)
        self._latencies: deque[float] = deque(maxlen=KEPT)
        self._answers = 0

    # ---- running ----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self.pipeline is not None:
            _warm(self.pipeline)
        with ExitStack() as undo:
            self._stack.enter_context(self.frames)
            undo.callback(self.stop)
            if self._on_open is not None:
                self._on_open(self.frames)
            live = self.frames.live
            if self._on_frame is not None:  # in a stage of its own: slow perception costs a recording nothing
                self._tape = Stage(self._taped(), name="recorder", size=FRAMES_WAIT, lossy=live)
                undo.enter_context(self._tape)
            self._walks = Stage(self._found(), name="perception", size=WALKS_WAIT, lossy=live)
            undo.enter_context(self._walks)
            self._stages = undo.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self._stages.close()

    def stop(self) -> None:
        """Close the sensor; what was captured so far is still answered."""
        self._stack.close()

    @property
    def ended(self) -> bool:
        """Whether no answer will come any more."""
        return self._walks is None or self._walks.ended

    def __iter__(self) -> Iterator[Answer]:
        return self

    def __next__(self) -> Answer:
        """The next answer.

        Raises:
            Gait3DError: what the sensor or perception raised, after the last answer.
        """
        answer = self.wait(None)
        if answer is None:
            raise StopIteration
        return answer

    def wait(self, timeout_s: float | None) -> Answer | None:
        """The next answer, or None where none comes in time or none will come any more.

        Raises:
            Gait3DError: as iterating does.
        """
        if self._walks is None:
            raise InputError("the live loop is not running; use it in a with statement")
        found = self._walks.take(timeout_s)
        if found is None:
            return None
        if isinstance(found, Refusal):
            return self._answer(refused(found), None, found.stop_ns)
        return self._answer(self._recognized(found), found, stop_ns(found))

    def _answer(self, said: Recognition, seq: GaitSequence | None, stop_ns: int) -> Answer:
        number, self._answers = self._answers, self._answers + 1
        latency_s = self._since_s(stop_ns)
        if seq is not None:
            self._latencies.append(latency_s)
        if said.track is not None:
            self._eyes.name(said.track, f"{UNKNOWN} ({said.reason})" if said.reason else said.identity)
        return Answer(said, seq, number, latency_s)

    def _recognized(self, seq: GaitSequence) -> Recognition:
        """Who walks there; why not, where the walk is not good enough."""
        reason = self.gate.refuses(seq)
        if reason or self.pipeline is None:
            return unjudged(seq, reason)
        try:
            if len(self.pipeline.gallery):
                return self.pipeline.identify(seq)
            return self.pipeline.describe(seq)
        except NoEvidence as error:
            return unjudged(seq, str(error))

    # ---- perception's thread ----------------------------------------------------------------------

    def _found(self) -> Iterator[GaitSequence | Refusal]:
        """Walks and refusals in the order in which they are known."""
        sensor = self.frames.sensor
        if not self._looking:
            for _ in self._passing():
                pass
            return
        walks = walks_live(
            self._passing(), sensor.specs, sensor.calibration, source=self._source, pose=self._pose,
            observer=self._eyes,
        )  # fmt: skip
        for seq in walks:
            yield from self._eyes.refusals()
            yield seq
        yield from self._eyes.refusals()

    def _taped(self) -> Iterator[Frame]:
        """All frames, as they are recorded."""
        assert self._on_frame is not None
        for frame in self.frames:
            if self._on_frame(frame) is False:
                return
            yield frame

    def _passing(self) -> Iterator[Frame]:
        for frame in self.frames if self._tape is None else self._tape:
            self._arrived.append((frame.host_t_ns, time.monotonic()))
            self._perceived += 1
            self._rate.tick()
            yield frame
            if self._on_moment is not None:
                self._on_moment(Moment(frame, self._eyes.seen(), self._eyes.camera, dict(self._eyes.names)))
            if self._eyes.waiting and self._walks is not None:
                for refusal in self._eyes.refusals():
                    self._walks.put(refusal)

    def _late(self) -> bool:
        """Whether newer frames of a live sensor wait for perception."""
        if self._tape is not None:
            return self.frames.live and self._tape.waiting > 0
        return any(pump.live and pump.first is not None for pump in self._pumps)

    # ---- how it does ------------------------------------------------------------------------------

    @property
    def counts(self) -> dict[str, FrameCounts | PacketCounts]:
        """What became of the frames or packets of each sensor that counts them, by its place and kind."""
        sensors = [(f"{i}:{type(p.sensor).__name__.lower()}", p.sensor) for i, p in enumerate(self._pumps, 1)]
        return {name: item.counts for name, item in sensors if hasattr(item, "counts")}

    @property
    def _pumps(self) -> list[Pump]:
        return self.frames.pumps if isinstance(self.frames, Rig) else [self.frames]

    @property
    def stats(self) -> LiveStats:
        """What has passed so far."""
        pump = self.frames.stats
        lost = sum(counts.lost for counts in self.counts.values())
        return LiveStats(
            captured=pump.frames,
            perceived=self._perceived,
            fps=self._rate.per_s,
            dropped_frames=pump.drops,
            passed_over=0 if self._tape is None else self._tape.drops,
            dropped_walks=0 if self._walks is None else self._walks.drops,
            lost=lost,
            reconnects=pump.reconnects,
            errors=pump.errors,
            last_error=pump.last_error,
            people=len(self._eyes.seen()),
            walks=self._answers,
            latency_s=percentiles(self._latencies.copy()),
        )

    def _since_s(self, t_ns: int) -> float:
        """Seconds since a frame was taken; of a file, since it was read."""
        if self.frames.live and t_ns > EPOCH_NS:
            return max(0.0, (time.time_ns() - t_ns) / NS_PER_S)
        now = time.monotonic()
        return next((now - at for stamp, at in reversed(self._arrived.copy()) if stamp <= t_ns), float("nan"))


def _warm(pipeline: Pipeline) -> None:
    """Have the networks answer before anybody waits: the first time they take half a second longer."""
    image = np.zeros((WARM_FRAMES, 64, 44), np.uint8)
    image[:, 4:60, 14:30] = 255
    t_ns = np.arange(WARM_FRAMES) * (NS_PER_S // 15)
    with suppress(NoEvidence):  # who reads no silhouettes has at least been loaded
        pipeline.embed(GaitSequence({"silhouette": Stream(image, t_ns)}))
