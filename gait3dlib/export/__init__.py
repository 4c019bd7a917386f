"""A model as ONNX files that run without torch and without this library.

>>> from gait3dlib.export import export_onnx
>>> export_onnx("runs/fusion/weights", "onnx")  # doctest: +SKIP

One file a modality (frames to tokens), one for the fusion and its tasks (tokens to the embedding, age, BMI
and gender), and ``model.json``, which says what goes in and what comes out. Each file is compared with torch
before it is kept. What cannot be exported is listed with the reason.
"""

from gait3dlib.export._model import Exported, export_onnx

__all__ = ["Exported", "export_onnx"]
