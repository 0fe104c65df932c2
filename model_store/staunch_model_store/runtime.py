"""The one door to onnxruntime: nobody else imports it.

From 1.32 on onnxruntime reports to its maker, under a device id that it leaves in the home of its user,
unless it is told not to before it is imported. So that is said here, whatever the environment says of it.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, and for the processes that we start

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

# They share no parent of their own.
RUNTIME_ERRORS: tuple[type[Exception], ...] = tuple(
    kind
    for kind in vars(onnxruntime_pybind11_state).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)
"""What onnxruntime raises over a graph, beside the exceptions of the language."""


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """Opens a session over an ONNX graph: one thread that sleeps when idle.

    Workers are processes, and requests are small.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 4  # a refusal says it, once and by name
    return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"], enable_fallback=False)
