"""Pretrained and outside networks by name, source and digest.

A registry says where each network's file comes from and what its SHA-256 must be; embedders turn pictures into
features, detectors give each picture a pedestrian score. One embedder (pixels) and one detector (OpenCV's HOG) need
no weights and are always there. The project's own re-ID models live in `reid/`, what is done with scores in `select/`.
"""
