"""Verbs about people: enroll, recognize, verify, calibrate, forget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gait3dlib.cli import _options as option
from gait3dlib.cli import live
from gait3dlib.cli._answers import RecognitionTable
from gait3dlib.cli._output import clean, console, counting, note, plain, show_json
from gait3dlib.cli._sources import files_of, one_walk, walks_of_source
from gait3dlib.errors import ConfigError, GalleryError, NoEvidence, did_you_mean

if TYPE_CHECKING:
    from gait3dlib.types import GaitSequence

Source = Annotated[
    str | None,
    typer.Argument(metavar="SOURCE", help="A video, a recording (.h5), a folder of frames, or a sensor."),
]
Subject = Annotated[str, typer.Argument(metavar="SUBJECT", help="A pseudonym of your choice.")]


def recognize(
    source: Source = None,
    sensor: live.Sensors = None,
    gallery: option.GalleryFile = None,
    modalities: option.Modalities = None,
    weights: option.Weights = "default",
    walk: option.Walk = None,
    start: option.Start = None,
    stop: option.Stop = None,
    seconds: live.Seconds = None,
    as_json: option.Json = False,
) -> None:
    """Say who walks there, or "unknown"; with age, BMI and gender.

    One row a walk, as walks end; with --json one object a line. With --sensor the view is live: frames,
    losses and latencies are shown, and why somebody cannot be judged. It runs until the sensor ends or
    Ctrl-C. Several --sensor, such as a camera and a LiDAR, see the same people.

    Example: gait3d recognize --sensor realsense --gallery people.db
    """
    live.one_of(source, sensor)
    if sensor:
        live.recognize_live(sensor, gallery, modalities, weights, seconds, as_json)
        return
    assert source is not None
    place = option.gallery_if_any(gallery)
    with option.open_pipeline(weights, modalities, place) as pipeline:
        table = RecognitionTable(pipeline)
        answered, refused = 0, None  # one walk without evidence must not end a live stream
        for number, seq in walks_of_source(source, walk, start, stop):
            try:
                found = pipeline.identify(seq) if len(pipeline.gallery) else pipeline.describe(seq)
            except NoEvidence as error:
                if refused is not None:
                    note(f"a walk is passed over: {refused}")
                refused = error
                continue
            answered += 1
            if as_json:
                enrolled = len(pipeline.gallery)
                show_json({"source": source, "walk": number, "enrolled": enrolled, **plain(found)})
            else:
                table.add(number, found)
        if refused is not None:
            if not answered:
                raise refused
            note(f"a walk is passed over: {refused}")
        if not as_json:
            table.remarks()


def enroll(
    subject: Annotated[
        str | None, typer.Argument(metavar="SUBJECT", help="A pseudonym of your choice.")
    ] = None,
    source: Source = None,
    sensor: live.Sensors = None,
    named: Annotated[
        str | None, typer.Option("--subject", metavar="NAME", help="The same as SUBJECT.")
    ] = None,
    gallery: option.GalleryFile = None,
    modalities: option.Modalities = None,
    weights: option.Weights = "default",
    walk: option.Walk = None,
    start: option.Start = None,
    stop: option.Stop = None,
    seconds: live.Seconds = None,
    as_json: option.Json = False,
) -> None:
    """Add a walk of a person to the gallery.

    Several walks of one person, from several sides, make recognition surer. --from and --to take a part. With
    --sensor the person walks past twice, and the second walk must match the first.

    Example: gait3d enroll alice walk.mp4 --to 3
    """
    if named and subject:
        if sensor or source:
            raise ConfigError(f"both {subject!r} and --subject {named!r} are given; name one person")
        source = subject
    subject = named or subject
    if subject is None:
        raise ConfigError("say who it is, by a pseudonym, such as: gait3d enroll walker-17 walk.mp4")
    live.one_of(source, sensor)
    if sensor:
        live.enroll_live(subject, sensor, gallery, modalities, weights, seconds, as_json)
        return
    assert source is not None
    _, seq = one_walk(source, walk, start, stop)
    # first into a gallery in memory: what cannot be enrolled must not leave a new, stamped file behind
    with option.open_pipeline(weights, modalities) as pipeline:
        pipeline.enroll(subject, seq)
    with option.open_pipeline(weights, modalities, option.gallery_to_write(gallery)) as pipeline:
        count = pipeline.enroll(subject, seq)
        templates = len(pipeline.gallery)
    seconds = seq.duration_s
    if as_json:
        show_json({"subject": subject, "walks": count, "templates": templates, "seconds": seconds})
    else:
        what = "walk" if count == 1 else "walks"
        console().print(clean(f"enrolled {subject}: {count} {what}, the last of {seconds:.1f} s"))


def verify(
    source_a: Annotated[str, typer.Argument(metavar="A", help="A source with one walk.")],
    source_b: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    walk_a: Annotated[int | None, typer.Option("--walk-a", metavar="N", help="Which walk of A.")] = None,
    walk_b: Annotated[int | None, typer.Option("--walk-b", metavar="N", help="Which walk of B.")] = None,
    modalities: option.Modalities = None,
    weights: option.Weights = "default",
    as_json: option.Json = False,
) -> None:
    """Say whether two walks are of one person.

    Nobody needs to be enrolled.

    Example: gait3d verify monday.mp4 tuesday.mp4
    """
    with option.open_pipeline(weights, modalities) as pipeline:
        answer = pipeline.verify(one_walk(source_a, walk_a)[1], one_walk(source_b, walk_b)[1])
    if as_json:
        show_json(answer)
        return
    verdict = "the same person" if answer.same else "not shown to be the same person"
    remark = "" if answer.calibrated else ", from simulated walkers"
    console().print(f"{verdict}: similarity {answer.score:.3f}, threshold {answer.threshold:.3f}{remark}")


def calibrate(
    sources: Annotated[
        list[Path], typer.Argument(metavar="FOLDER|FILE...", help="Walks recorded on your site.")
    ],
    fpir: Annotated[
        float, typer.Option("--fpir", help="Accepted share of searches that name somebody wrongly.")
    ] = 0.01,
    gallery: option.GalleryFile = None,
    modalities: option.Modalities = None,
    weights: option.Weights = "default",
    as_json: option.Json = False,
) -> None:
    """Set the threshold for "unknown" on walks of your own site.

    Below it nobody is named. Walks that carry no name count as strangers. At least 1 / fpir walks are needed.

    Example: gait3d calibrate recordings/ --fpir 0.02
    """
    place = option.gallery_to_read(gallery)
    with option.open_pipeline(weights, modalities, place) as pipeline:
        files = files_of(sources)
        walks: list[GaitSequence] = []
        with counting("reading") as progress:
            for done, file in enumerate(files, start=1):
                walks += (seq for _, seq in walks_of_source(str(file)))
                progress(done, len(files))
        threshold = pipeline.calibrate(walks, fpir=fpir)
    if as_json:
        show_json({"threshold": threshold, "fpir": fpir, "walks": len(walks)})
    else:
        console().print(
            f"threshold {threshold:.3f} from {len(walks)} walks, at most {fpir:.2%} named wrongly"
        )


def forget(subject: Subject, gallery: option.GalleryFile = None, as_json: option.Json = False) -> None:
    """Erase a person: no byte of their templates stays on the disk.

    The weights that the gallery was made with are not needed.

    Example: gait3d forget alice
    """
    from gait3dlib.gallery import Gallery

    place = option.gallery_to_read(gallery)
    with Gallery.open(place, *Gallery.model_of(place)) as held:
        erased = held.forget(subject)
        if not erased:
            known = did_you_mean(subject, held.subjects())
            raise GalleryError(f"nobody called {subject!r} is enrolled{known}")
    if as_json:
        show_json({"subject": subject, "erased": erased})
    else:
        console().print(clean(f"forgot {subject}: {erased} template{'' if erased == 1 else 's'} erased"))
