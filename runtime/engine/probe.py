"""The smallest graphs there are: what tells whether a provider computes at all."""

ADD = (
    b'\x08\x08\x12\x00:9\n\x0e\n\x01x\n\x01x\x12\x01y"\x03Add\x12\x05probeZ\x0f\n\x01x\x12\n\n\x08\x08\x01'
    b"\x12\x04\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x12"
)
"""An ONNX model, opset 18: y = x + x for one number of float32."""

ADD_HALF = ADD.replace(b"\x08\x08\x01\x12\x04", b"\x08\x08\x0a\x12\x04")
"""The same for one number of float16."""
