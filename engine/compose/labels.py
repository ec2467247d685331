"""The labels by which containers, networks, volumes and images belong to a project: Docker Compose's own, so that both
tools see each other's projects, and one of ours.

``SERVICE_DOCUMENT`` holds the canonical service that a container was made from, as JSON. Docker Compose keeps only its
hash, which says *that* something changed; to say *which key* changed from what to what, both documents must be there.
The container's inspect could not stand in for it: the engine completes it with the image's own settings and defaults,
so a key that was taken out of the file looks the same as one that the image brought along.
"""

from __future__ import annotations

PREFIX = "com.docker.compose."
PROJECT = PREFIX + "project"
SERVICE = PREFIX + "service"
NUMBER = PREFIX + "container-number"
ONE_OFF = PREFIX + "oneoff"
SLUG = PREFIX + "slug"
CONFIG_HASH = PREFIX + "config-hash"
CONFIG_FILES = PREFIX + "project.config_files"
WORKING_DIR = PREFIX + "project.working_dir"
VERSION = PREFIX + "version"
DEPENDS_ON = PREFIX + "depends_on"
IMAGE = PREFIX + "image"
REPLACE = PREFIX + "replace"
NETWORK = PREFIX + "network"
VOLUME = PREFIX + "volume"

SERVICE_DOCUMENT = "io.docket.compose.service"

TRUE, FALSE = "True", "False"
