"""The API over a real unix socket, on services that keep everything in memory."""
