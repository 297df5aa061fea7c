"""Encoders: `onnx` serves an artifact without torch, the others are for training with torch.

This package imports none of them; `ilk.plugins.load("encoders", name)` imports the one named.
"""
