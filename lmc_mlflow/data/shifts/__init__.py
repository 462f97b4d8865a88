"""The shifts: which samples each side holds, and what each side sees of an image."""
