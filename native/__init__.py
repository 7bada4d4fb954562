"""Kernels over buffers: digests, zero scans, page-state runs. No policy, no I/O."""
