"""The sections of ``docs/benchmarks.md`` on speed."""

from __future__ import annotations

from _tables import MISSING, Json, table

CLOCKS = {"wall": "wall time", "cpu": "processor time, on a machine that did other work beside"}


def opengait(result: Json) -> str:
    """OpenGait's time, ours, and how often ours fits into it."""
    headings = ["", "precision", "OpenGait, ms", "ours, ms", "times faster", "cosine to OpenGait's"]
    lines = [
        [
            row["what"],
            row["precision"],
            f"{row['theirs_ms']:.0f}",
            f"{row['ours_ms']:.0f}",
            f"{row['times_faster']:.2f}",
            MISSING if row["cosine"] is None else f"{row['cosine']:.5f}",
        ]
        for row in result["rows"]
    ]
    if all(row["cosine"] is None for row in result["rows"]):
        headings, lines = headings[:-1], [line[:-1] for line in lines]
    return f"{_told(result)} Medians of {result['repeats']} turns.\n\n{table(headings, lines)}"


def preprocessing(result: Json) -> str:
    """Frames a second beside what is asked for."""
    headings = ["", "frames a second", "asked for", "processes"]
    lines = [
        [row["what"], f"{row['per_second']:.0f}", f"{row['asked']:.0f}", result["processes"]]
        for row in result["rows"]
    ]
    return f"{_told(result)} Medians of {result['repeats']} runs.\n\n{table(headings, lines)}"


def _told(result: Json) -> str:
    torch = f", torch {result['torch']}, {result['threads']} threads" if "torch" in result else ""
    return f"{result['machine']}{torch}; {CLOCKS[result['clock']]}."


# the file of the result, heading, command, text, body
SPEED = (
    (
        "opengait_forward",
        "Against OpenGait's own code: forward",
        "git clone https://github.com/ShiqiYu/OpenGait\n"
        "pip install einops torchvision\n"
        "python benchmarks/opengait_speed.py --opengait OpenGait --threads 2",
        "One walk of 30 frames, the same weights and input in both, turn by turn; OpenGait always computes\n"
        "in float32. The cosine is that of our embedding, all parts as one vector, to OpenGait's.",
        opengait,
    ),
    (
        "opengait_training",
        "Against OpenGait's own code: a training step",
        "python benchmarks/opengait_speed.py --opengait OpenGait --threads 2 --train",
        "Forward, both losses, backward and a step of SGD on four walks of ten frames; OpenGait's in\n"
        "float32, for its half precision is CUDA's.",
        opengait,
    ),
    (
        "preprocessing_speed",
        "Skeleton maps and LiDAR pictures",
        "python benchmarks/preprocessing_speed.py",
        "From keypoints and points to what the networks read, one walk a task.",
        preprocessing,
    ),
)
