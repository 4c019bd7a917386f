"""The front door: walks in; names, ages, BMIs and genders out."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib import _resources
from gait3dlib._optional import require
from gait3dlib.errors import ConfigError, GalleryError, InputError, NoEvidence, UntrainedError
from gait3dlib.evaluation import threshold_at_fpir
from gait3dlib.evaluation.impostors import threshold_for
from gait3dlib.gallery import Calibration, Gallery
from gait3dlib.sources import Source, walks_of
from gait3dlib.types import (
    UNKNOWN,
    Estimate,
    GaitSequence,
    Outputs,
    Recognition,
    Verification,
)

if TYPE_CHECKING:
    from gait3dlib.fusion.evidence import Evidence
    from gait3dlib.fusion.model import GaitModel

DEFAULT_FPIR = 0.01
log = logging.getLogger(__name__)


class Pipeline:
    """Recognise people by their walk from whichever of the chosen modalities a walk has.

    Args:
        modalities: names such as ``["silhouette", "skeleton_map"]``.
        weights: "default" (shipped), a folder of trained weights, or None for fresh weights that can record,
            embed and train, but not name people.
        gallery: path of an SQLite gallery, or None for one in memory.
        device: "cpu", "cuda", or "auto".

    Raises:
        ConfigError: no modality is named, or the device cannot be used.
        UnknownComponent: no such modality; says "did you mean".
        WeightsError: weights are missing, damaged or do not fit.
        GalleryMismatch: the gallery was made by another model.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        weights: str | os.PathLike[str] | None = "default",
        gallery: str | os.PathLike[str] | None = None,
        device: str = "auto",
    ) -> None:
        if isinstance(modalities, str) or not modalities:
            raise ConfigError("modalities must be a list of names, such as ['silhouette', 'skeleton_map']")
        self.device = _usable(device)
        from gait3dlib.fusion import weights as stored
        from gait3dlib.fusion.abstention import Abstention

        names = sorted(set(modalities))
        self._info: dict[str, Any]
        if weights is None:
            self._model = stored.untrained({name: {} for name in names})
            self._info = {"trained": False, "modalities": {n: stored.resolved(n, {}) for n in names}}
        else:
            folder = _resources.weights_folder() if weights == "default" else Path(weights)
            self._model, self._info = stored.load(folder, names)
        self._model.to(self.device)
        self._abstention = Abstention.of(self._info)
        self.modalities = tuple(names)
        self.fingerprint = stored.fingerprint(self._model)
        fusion = self._model.fusion
        self._shape = (fusion.parts, fusion.part_dim)
        self.gallery = Gallery.open(gallery, self.fingerprint, self._shape[0] * self._shape[1])

    @property
    def model(self) -> GaitModel:
        """The network, in eval mode."""
        return self._model

    @property
    def trained(self) -> bool:
        """Whether the weights were trained; fresh ones embed, but name nobody."""
        return bool(self._info.get("trained"))

    # ---- embedding --------------------------------------------------------------------------------

    def embed(self, seq: GaitSequence, drop: Sequence[str] = ()) -> NDArray[np.float32]:
        """The template of a walk, float32 ``[parts, dim]`` with unit-length parts.

        Args:
            seq: one walk.
            drop: modalities to leave out, as if their streams had never been recorded.

        Raises:
            NoEvidence: no stream is left that a chosen modality can read.
        """
        return self._answer(seq, drop)[0]

    def _answer(
        self, seq: GaitSequence, drop: Sequence[str] = ()
    ) -> tuple[NDArray[np.float32], Outputs, Evidence]:
        torch = require("torch")
        from gait3dlib.fusion.evidence import Evidence

        evidence = Evidence(self._model.modalities, seq, drop)
        with torch.inference_mode():
            batch = {name: batch.to(self.device) for name, batch in evidence.batches.items()}
            outputs = self._model(batch, drop)
        return outputs.embedding[0].float().cpu().numpy(), outputs, evidence

    def _judge(self, seq: GaitSequence) -> tuple[NDArray[np.float32], Outputs, Evidence]:
        """The answer about a walk that is long enough to say anything about a person."""
        answer = self._answer(seq)
        answer[2].require_movement()
        return answer

    # ---- naming people ----------------------------------------------------------------------------

    def enroll(self, subject: str, seq: GaitSequence) -> int:
        """Add a walk of a person to the gallery under a pseudonym; returns how many walks they have now."""
        self._needs_training("enroll")
        template, _, evidence = self._judge(seq)
        self.gallery.enroll(subject, _flat(template), evidence.names)
        return self.gallery.count(subject)

    def identify(self, seq: GaitSequence, *, top: int = 5) -> Recognition:
        """Who walks there: an enrolled pseudonym, or "unknown" when the best score is below the threshold.

        Raises:
            UntrainedError: the weights were never trained.
            GalleryError: nobody is enrolled.
            NoEvidence: no stream that a chosen modality can read, or fewer than five frames of it.
        """
        self._needs_training("identify")
        if not len(self.gallery):
            raise GalleryError("nobody is enrolled yet; enrol people first, with enroll(subject, walk)")
        return self._recognition(seq, top)

    def describe(self, seq: GaitSequence) -> Recognition:
        """Age, body-mass index and gender alone: nobody is searched for.

        The identity is "unknown", the score NaN, and there are no candidates.

        Raises:
            UntrainedError: the weights were never trained.
            NoEvidence: no stream that a chosen modality can read.
        """
        self._needs_training("describe")
        return self._recognition(seq, None)

    def _recognition(self, seq: GaitSequence, top: int | None) -> Recognition:
        template, outputs, evidence = self._judge(seq)
        candidates = () if top is None else tuple(self.gallery.search(_flat(template), top=top))
        score = candidates[0].score if candidates else float("nan")
        threshold, calibrated = self.threshold(evidence.names)
        track = seq.meta.covariates.get("track")
        return Recognition(
            identity=candidates[0].subject if score >= threshold else UNKNOWN,
            score=score,
            threshold=threshold,
            calibrated=calibrated,
            candidates=candidates,
            weights=self._weights(outputs, evidence),
            streams=evidence.streams,
            track=int(track) if track is not None and track.isdecimal() else None,
            start_ns=seq.start_ns,
            stop_ns=seq.start_ns + round(seq.duration_s * 1e9),
            **_attributes(outputs, self._abstention(self._model, outputs)),
        )

    def recognize(self, source: Source) -> Iterator[Recognition]:
        """One :class:`Recognition` a walk, as walks end: from a video, a recording, or a live sensor.

        A walk without evidence is passed over with a warning in the log, and raised only if there was no
        other one.

        Raises:
            UntrainedError: the weights were never trained; raised at once, the others while iterating.
            GalleryError: nobody is enrolled.
            NoWalkFound: the source ended and nobody had walked in it.
            NoEvidence: no walk has a stream that a chosen modality can read.
        """
        self._needs_training("recognize")
        return self._recognitions(source)

    def _recognitions(self, source: Source) -> Iterator[Recognition]:
        named, refused = 0, None
        for seq in walks_of(source):
            try:
                answer = self.identify(seq)
            except NoEvidence as error:
                log.warning("a walk is passed over: %s", error)
                refused = error
                continue
            named += 1
            yield answer
        if refused is not None and not named:
            raise refused

    def verify(self, seq_a: GaitSequence, seq_b: GaitSequence) -> Verification:
        """Whether two walks are of one person, at the threshold of a gallery of one.

        Raises:
            UntrainedError: the weights were never trained.
            NoEvidence: a walk has no stream that a chosen modality can read, or the two share no modality.
        """
        self._needs_training("verify")
        (a, _, evidence_a), (b, _, evidence_b) = self._judge(seq_a), self._judge(seq_b)
        shared = sorted(set(evidence_a.names) & set(evidence_b.names))
        if not shared:
            have = " and the other ".join(" and ".join(e.names) for e in (evidence_a, evidence_b))
            raise NoEvidence(f"the walks share no modality, one has {have}; compare walks that share one")
        score = min(float(_flat(a) @ _flat(b)), 1.0)
        threshold = self._default_threshold(shared, 1)
        return Verification(score >= threshold, score, threshold, calibrated=False)

    def forget(self, subject: str) -> int:
        """Erase a person: no byte of their templates stays on the disk. Returns how many were erased."""
        return self.gallery.forget(subject)

    # ---- thresholds -------------------------------------------------------------------------------

    def threshold(self, modalities: Sequence[str]) -> tuple[float, bool]:
        """The score below which the answer is "unknown", and whether it was calibrated on this site.

        A calibration holds for the modalities and the gallery size it was made with; otherwise the threshold
        follows from the impostor scores of simulated walkers and is said to be uncalibrated.
        """
        found = self.gallery.calibration(tuple(sorted(modalities)))
        if found is not None and found.gallery_size == len(self.gallery):
            return found.threshold, True
        return self._default_threshold(modalities, max(len(self.gallery), 1)), False

    def calibrate(self, sequences: Sequence[GaitSequence], fpir: float = DEFAULT_FPIR) -> float:
        """Set the threshold for this gallery and these modalities from walks of your own site.

        Every walk is searched for among the templates of everybody else; the threshold is the smallest score
        that at most a share ``fpir`` of such searches reach (a conservative order statistic). Walks without
        a subject count as strangers. Walks of different modalities get thresholds of their own.

        Returns:
            The threshold; the highest, where there are several.

        Raises:
            UntrainedError: the weights were never trained.
            InputError: fewer than ``1 / fpir`` walks, so the rate cannot be resolved; nothing is set then.
            GalleryError: nobody is enrolled.
        """
        self._needs_training("calibrate")
        if not len(self.gallery):
            raise GalleryError("nobody is enrolled yet; the threshold depends on the gallery, so enrol first")
        tops: dict[tuple[str, ...], list[float]] = {}
        for seq in sequences:
            template, _, evidence = self._judge(seq)
            best = [c for c in self.gallery.search(_flat(template), top=2) if c.subject != seq.subject]
            if best:
                tops.setdefault(tuple(sorted(evidence.names)), []).append(best[0].score)
        if not tops:
            raise InputError(
                "no walk could be compared with somebody else's template; give walks of other people"
            )
        thresholds = {names: threshold_at_fpir(scores, fpir) for names, scores in tops.items()}
        size = len(self.gallery)
        for names, threshold in thresholds.items():
            record = Calibration(threshold, fpir, size, names, searches=len(tops[names]))
            self.gallery.set_calibration(record)
        return max(thresholds.values())

    def _default_threshold(self, modalities: Sequence[str], size: int) -> float:
        tails: Mapping[str, Any] = self._info.get("impostors", {})
        tail = tails.get("+".join(sorted(modalities)))
        return threshold_for(tail, size, DEFAULT_FPIR) if tail else 1.0

    # ---- keeping ----------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write weights and config as a folder that :meth:`from_pretrained` reads."""
        from gait3dlib.fusion import weights as stored

        folder = Path(path)
        info = {k: v for k, v in self._info.items() if k not in ("modalities", "config", "kind")}
        fusion = self._info.get("config") or {"modalities": list(self.modalities)}
        stored.save(folder, self._model, settings=self._info["modalities"], fusion=fusion, info=info)
        return folder

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        modalities: Sequence[str] | None = None,
        gallery: str | os.PathLike[str] | None = None,
        device: str = "auto",
    ) -> Pipeline:
        """A pipeline from a folder of weights, with all the modalities that it has unless some are named.

        Raises:
            WeightsError: the folder holds no weights.
        """
        require("torch")
        from gait3dlib.fusion import weights as stored

        names = modalities or stored.available(Path(path)) or ["silhouette"]
        return cls(names, weights=path, gallery=gallery, device=device)

    def close(self) -> None:
        """Close the gallery."""
        self.gallery.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ---- parts ------------------------------------------------------------------------------------

    def _needs_training(self, verb: str) -> None:
        if not self.trained:
            raise UntrainedError(
                f"cannot {verb} with untrained weights, names would be guesses; "
                "use weights='default', or train with: gait3d train"
            )

    def _weights(self, outputs: Outputs, evidence: Evidence) -> dict[str, float]:
        if outputs.weights is None:
            return {}
        shares = outputs.weights[0].float().cpu().tolist()
        return {n: s for n, s in zip(self.modalities, shares, strict=True) if n in evidence.names}


def _usable(device: str) -> str:
    torch = require("torch")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(f"device {device!r} cannot be used ({reason}); use cpu, cuda or auto") from error
    return device


def _flat(template: NDArray[np.float32]) -> NDArray[np.float32]:
    """One unit vector: parts of unit length end to end, so a dot product is the mean cosine of the parts."""
    flat: NDArray[np.float32] = template.reshape(-1) / np.float32(np.sqrt(len(template)))
    return flat


def _attributes(outputs: Outputs, silent: Mapping[str, Any]) -> dict[str, Any]:
    """Age, BMI and gender of the one walk; nothing where the weights' rules of abstention say so."""
    found: dict[str, Any] = {}
    for task, name in (("age", "age_years"), ("bmi", "bmi_kg_m2")):
        value = getattr(outputs, name)
        if value is not None and not bool(silent[task][0]):
            found[name] = Estimate(float(value[0, 0]), float(value[0, 1]))
    if outputs.gender_logits is not None and not bool(silent["gender"][0]):
        found["female"] = float(outputs.gender_logits[0].sigmoid())
    return found


__all__ = ["Pipeline", "walks_of"]
