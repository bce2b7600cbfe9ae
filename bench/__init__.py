"""Side-by-side measurements: served repository and phantoms in, one JSON file of results and a page out."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before ONNX Runtime is imported: it reports home from 1.29 on
