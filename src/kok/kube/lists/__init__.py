"""Lists of objects: page by page, within limits, and whatever single objects are like."""
