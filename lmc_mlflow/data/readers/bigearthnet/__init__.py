"""How do BigEarthNet's Sentinel-2 patches become pixels that training reads fast, with labels and checksums?"""
