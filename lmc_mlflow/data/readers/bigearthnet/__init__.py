"""Prepares and reads BigEarthNet: Sentinel-2 patches with several labels each, in a store with checksums."""
