"""Handle source maps: uploads, storage, resolution of minified frames, and grouping by the original frames."""
