"""The API: what the platform can do, over HTTP. The edge parses, makes one call, renders."""
