"""From a trained checkpoint to a served repository: fetch, build, torch2onnx, verify, publish."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before ONNX Runtime is imported: it reports home from 1.29 on
