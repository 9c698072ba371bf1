"""Exporter: pretrained VGG weights to a bundle of ONNX graphs that carry their own input-gradient. Needs torch."""

from .export import export_bundle

__all__ = ["export_bundle"]
