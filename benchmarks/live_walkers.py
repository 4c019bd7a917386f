"""People walk past a software RealSense, two at a time at moments, and the live loop says who they are.

    python benchmarks/live_walkers.py                       five seeds, ten enrolled people and five strangers
    python benchmarks/live_walkers.py --seeds 0 --people 3 --strangers 1      a short run

Everybody is enrolled by one walk to either side. Then all come back on another day among strangers; four
fifths of them in pairs that cross in opposite directions, a metre apart, so that one hides the other. The
frames are simulated depth (and with --color shaded pictures, for keypoints by the pose extra), played in
real time by the SDK's software device, so drops on a busy machine are real ones, and are printed; --file
goes by way of the SDK's recorder and loses none. Frames are rendered once and kept in --cache.

A row a seed: enrolled people named, named wrongly, called unknown; strangers called unknown, and named;
walks that nobody could judge, and people without any answer; walks of two people in one track (switches).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from _live_film import Quality, Track, enrolments, filmed, in_a_row, returns, strangers, view
from numpy.typing import NDArray

from gait3dlib.live import Answer, Live, LiveStats, Moment
from gait3dlib.pipeline import Pipeline
from gait3dlib.sensors import _mount
from gait3dlib.sensors._realsense_streams import Picture
from gait3dlib.sensors.realsense import Realsense
from gait3dlib.simulation.software_camera import Shot, SoftwareBus, SoftwareCamera
from gait3dlib.types import Calibration

SWITCH = 0.15  # of a walk's frames nearest to somebody else make it a walk of two people


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--strangers", type=int, default=5)
    parser.add_argument("--fps", type=int, default=15)
    parser.add_argument("--width", type=int, default=424, choices=(424, 640))
    parser.add_argument("--color", action="store_true", help="also pictures, for keypoints")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--modalities", default="", help="such as silhouette,depth; all by default")
    parser.add_argument("--site", type=int, default=0, help="first set the threshold on others' walks")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "gait3d_live_walkers")
    parser.add_argument("--file", action="store_true", help="by way of a file of the SDK's: no frame is lost")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = []
    for seed in asked.seeds:
        rows.append(run(asked, seed))
        if not asked.json:
            show(rows[-1:], header=len(rows) == 1)
    total = {name: sum(row[name] for row in rows) for name in rows[0] if name != "seed"}
    if asked.json:
        print(json.dumps({"rows": rows, "total": total}))
    else:
        show([{"seed": "all", **total}], header=False)


def show(rows: list[dict[str, int]], *, header: bool) -> None:
    if header:
        print("  ".join(rows[0]))
    for row in rows:
        print("  ".join(f"{value!s:>{len(name)}}" for name, value in row.items()), flush=True)


def run(asked: argparse.Namespace, seed: int) -> dict[str, int]:
    """One seed: enrol, come back, count."""
    film = [*enrolments(asked.people), *returns(asked.people, asked.strangers, seed)]
    camera = view(asked.width)
    quality = Quality(asked.fps, asked.width, asked.color, asked.cache)
    shots, tracks = filmed(quality, film, camera, seed)
    modalities = [name for name in asked.modalities.split(",") if name]
    with opened(asked.weights, modalities) as pipeline:
        first = asked.people
        answers, offset_s, stats = past(pipeline, shots[:first], camera, asked)
        enrolled = set()
        for answer, (person, _) in zip(answers, owners(answers, tracks[:first], offset_s), strict=True):
            if answer.walk is not None and not answer.recognition.reason and person is not None:
                pipeline.enroll(f"P{person:02d}", answer.walk)
                enrolled.add(person)
        if asked.site:
            passers, _ = filmed(quality, strangers(asked.site), camera, seed)
            others, _, _ = past(pipeline, passers, camera, asked)
            walks = [a.walk for a in others if a.walk is not None and not a.recognition.reason]
            pipeline.calibrate(walks, fpir=1.0 / len(walks))
        again, offset_s, stats2 = past(pipeline, shots[first:], camera, asked)
        found = owners(again, tracks[first:], offset_s)
    row = counted(again, found, asked.people, asked.people + asked.strangers)
    dropped = stats.dropped_frames + stats.lost + stats2.dropped_frames + stats2.lost
    return {"seed": seed, "enrolled": len(enrolled), **row, "frames lost": dropped}


def opened(weights: str, modalities: list[str]) -> Pipeline:
    if weights == "default" and modalities:
        return Pipeline(modalities)
    if weights == "default":
        from gait3dlib._resources import weights_folder

        return Pipeline.from_pretrained(weights_folder(), modalities or None)
    return Pipeline.from_pretrained(weights, modalities or None)


# ---- through the camera and the loop --------------------------------------------------------------------


def past(
    pipeline: Pipeline,
    segments: list[list[Shot]],
    camera: Calibration,
    asked: argparse.Namespace,
) -> tuple[list[Answer], float, LiveStats]:
    """Play segments one after another by the software device; the answers, and how the clock is set off."""
    played = list(in_a_row(segments, asked.fps))
    device = SoftwareCamera(played, camera, fps=asked.fps, color=asked.color)
    offsets: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        mount = Path(folder) / "mount.json"
        assert camera.extrinsics is not None
        _mount.write(mount, camera.extrinsics)
        picture: Picture = "color" if asked.color else "none"
        if asked.file:
            device.record(Path(folder) / "film.db3")
            sensor = Realsense(str(Path(folder) / "film.db3"), mount=str(mount), picture=picture)
        else:
            device.start()
            sensor = Realsense(
                width=camera.width, height=camera.height, fps=asked.fps, warm_up_s=0.0, mount=str(mount),
                picture=picture, bus=SoftwareBus([device]),
            )  # fmt: skip

        def clock(moment: Moment) -> None:
            frame = moment.frame
            if not offsets and frame.device_t_ns is not None:
                offsets.append((frame.host_t_ns - frame.device_t_ns) / 1e9)

        with Live(pipeline, sensor, pose=asked.color, on_moment=clock, timeout_s=30.0) as live:
            answers = []
            while not live.ended:
                answer = live.wait(0.2)
                if answer is not None:
                    answers.append(answer)
                stats = live.stats
                looked_at = stats.perceived + stats.dropped_frames >= stats.captured
                if not asked.file and device.taken >= len(played) and looked_at and answer is None:
                    live.stop()
            stats = live.stats
        device.stop()
    return answers, offsets[0], stats


# ---- what is right ---------------------------------------------------------------------------------------


def owners(
    answers: list[Answer], tracks: list[list[Track]], offset_s: float
) -> list[tuple[int | None, bool]]:
    """Who truly walked in each answer, and whether its track went over to somebody else."""
    fps = 1.0 / float(tracks[0][0].t_s[1] - tracks[0][0].t_s[0])
    started, at_s = [], 1.0 + 1.0  # the stamps begin at a second, and the corridor is empty for another
    for segment in tracks:
        started.append(at_s)
        at_s += len(segment[0].t_s) / fps
    out = []
    for answer in answers:
        span = (answer.recognition.start_ns, answer.recognition.stop_ns)
        if answer.walk is not None and "points" in answer.walk.streams:
            stream = answer.walk.streams["points"]
            places = [(t / 1e9 - offset_s, np.median(stream.frame(i)[:, :2], axis=0))
                      for i, t in enumerate(stream.t_ns.tolist())]  # fmt: skip
        else:
            places = [(t / 1e9 - offset_s, np.array([np.nan, np.nan])) for t in span]
        votes: dict[int, int] = {}
        for t_s, xy in places:
            who = nearest(t_s, xy, tracks, started)
            if who is not None:
                votes[who] = votes.get(who, 0) + 1
        if not votes:
            out.append((None, False))
            continue
        best = max(votes, key=lambda who: votes[who])
        out.append((best, sum(votes.values()) - votes[best] > SWITCH * sum(votes.values())))
    return out


def nearest(
    t_s: float, xy: NDArray[np.float64], tracks: list[list[Track]], started: list[float]
) -> int | None:
    index = int(np.searchsorted(started, t_s, side="right")) - 1
    if index < 0:
        return None
    found = []
    for track in tracks[index]:
        place = track.xy[min(int(np.searchsorted(track.t_s, t_s - started[index])), len(track.t_s) - 1)]
        if np.isfinite(place).all():
            apart = float(np.linalg.norm(place - xy)) if np.isfinite(xy).all() else 0.0
            found.append((apart, track.person))
    return min(found)[1] if found else None


def counted(
    answers: list[Answer], found: list[tuple[int | None, bool]], people: int, everybody: int
) -> dict[str, int]:
    said: dict[int, list[str]] = {}
    for answer, (person, _) in zip(answers, found, strict=True):
        if person is not None and not answer.recognition.reason:
            said.setdefault(person, []).append(answer.recognition.identity)
    right = {who for who in range(people) if f"P{who:02d}" in said.get(who, [])}
    wrong = {
        who for who in range(people) if any(n not in ("unknown", f"P{who:02d}") for n in said.get(who, []))
    }
    strangers = range(people, everybody)
    named = {who for who in strangers if any(name != "unknown" for name in said.get(who, []))}
    return {
        "named": len(right - wrong),
        "wrong": len(wrong),
        "unknown": len([w for w in range(people) if w in said and w not in right | wrong]),
        "strangers unknown": len([w for w in strangers if w in said and w not in named]),
        "strangers named": len(named),
        "unjudged": sum(bool(answer.recognition.reason) for answer in answers),
        "no answer": everybody - len(said),
        "switches": sum(switched for _, switched in found),
    }


if __name__ == "__main__":
    main()
