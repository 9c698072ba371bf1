"""ONNX Runtime: which provider runs a bundle's graphs, on which device, with which options.

It knows graphs and buffers. It knows no optimiser, no style and no photo.
"""
