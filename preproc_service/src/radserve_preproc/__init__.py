"""The service: DICOM and images in, tensors to Triton, findings out. Start reading at ``analyse.py``."""
