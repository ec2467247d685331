"""From a Dockerfile to an image: parser, plan, cache keys, and what runs the steps."""
