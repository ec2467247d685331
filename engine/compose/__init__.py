"""``docket compose``: from compose files to a project, and from a project to containers, as a client of the API.

The file half turns compose files into the canonical model of ``project.Project`` and touches nothing but files.
"""
