"""Metrics and protocols: who is named rightly, how surely, and beside which baseline.

Scores are similarities, larger = more alike, ``[probes, gallery]``. The figures:

==========================  =======================================================================
closed set                  :func:`rank` -> rank-k (CMC), mAP, mINP, chance
verification                :func:`roc`, :func:`eer`, :func:`tar_at_far`, :func:`auc`
open set                    :func:`open_set_searches`, :func:`fnir_at_fpir`, :func:`threshold_at_fpir`
attributes                  :func:`evaluate_regression`, :func:`evaluate_binary`
intervals                   :class:`PeopleBootstrap`, :func:`wilson`
protocol                    :func:`cross_view_split`, :func:`exclude_views`, :func:`exclude_sessions`
public data sets            :func:`evaluate_groups`, :func:`read_rules`, :func:`evaluate_view_pairs`,
                            :func:`write_submission`, :func:`rerank`
baselines                   :func:`energy_image_scores` (silhouettes), :func:`keypoint_scores` (key points)
all of it                   :func:`evaluate_identification`, :func:`format_table`, :func:`rich_table`
==========================  =======================================================================

Terms are those of ISO/IEC 19795-1 and of NIST's FRVT reports. Needs numpy and scipy only.
"""

from __future__ import annotations

from gait3dlib.evaluation.angles import keypoint_fourier, keypoint_scores
from gait3dlib.evaluation.attributes import (
    BinaryReport,
    RegressionReport,
    evaluate_binary,
    evaluate_regression,
)
from gait3dlib.evaluation.baseline import energy_image_scores, gait_energy_image
from gait3dlib.evaluation.groups import GroupsReport, Scoring, evaluate_groups, write_submission
from gait3dlib.evaluation.identification import Ranking, rank
from gait3dlib.evaluation.intervals import Measure, PeopleBootstrap, percentile_interval, wilson
from gait3dlib.evaluation.openset import (
    OpenSetSearches,
    OperatingPoint,
    fnir_at_fpir,
    open_set_searches,
    threshold_at_fpir,
)
from gait3dlib.evaluation.protocol import (
    CrossViewSplit,
    cross_view_split,
    exclude_sessions,
    exclude_views,
    view_difference,
)
from gait3dlib.evaluation.report import (
    IdentificationReport,
    evaluate_identification,
    format_table,
    rich_table,
)
from gait3dlib.evaluation.reranking import rerank
from gait3dlib.evaluation.rules import Chosen, Groups, WalkLabel, read_rules
from gait3dlib.evaluation.scores import similarity
from gait3dlib.evaluation.verification import Roc, auc, eer, roc, tar_at_far
from gait3dlib.evaluation.view_pairs import ViewPairReport, evaluate_view_pairs

__all__ = [
    "BinaryReport",
    "Chosen",
    "CrossViewSplit",
    "Groups",
    "GroupsReport",
    "IdentificationReport",
    "Measure",
    "OpenSetSearches",
    "OperatingPoint",
    "PeopleBootstrap",
    "Ranking",
    "RegressionReport",
    "Roc",
    "Scoring",
    "ViewPairReport",
    "WalkLabel",
    "auc",
    "cross_view_split",
    "eer",
    "energy_image_scores",
    "evaluate_binary",
    "evaluate_groups",
    "evaluate_identification",
    "evaluate_regression",
    "evaluate_view_pairs",
    "exclude_sessions",
    "exclude_views",
    "fnir_at_fpir",
    "format_table",
    "gait_energy_image",
    "keypoint_fourier",
    "keypoint_scores",
    "open_set_searches",
    "percentile_interval",
    "rank",
    "read_rules",
    "rerank",
    "rich_table",
    "roc",
    "similarity",
    "tar_at_far",
    "threshold_at_fpir",
    "view_difference",
    "wilson",
    "write_submission",
]
