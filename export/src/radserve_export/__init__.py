"""From a trained checkpoint to a served repository: fetch, build, torch2onnx, verify, publish."""
