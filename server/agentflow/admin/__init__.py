"""Administration: what administrators see and change, as REST under /api/v1 and as a page under /ui."""
