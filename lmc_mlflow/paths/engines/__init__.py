"""Fast engines that measure a path in one pass over the images, chosen by architecture."""
