"""The whole engine above the kernel on seeded fakes: many commands, crashes between them, one truth at the end."""
