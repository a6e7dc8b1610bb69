"""Batches on the device, augmented, in time."""
