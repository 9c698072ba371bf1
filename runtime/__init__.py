"""The runtime: a bundle, a style and photos become paintings, through ONNX Runtime.

It imports neither PyTorch nor onnx. Its rooms stand on floors, and a room imports only from floors below its own:
ARCHITECTURE.md draws them, and import-linter holds them.
"""
