"""The whole engine above the kernel on seeded fakes: thousands of commands, crashes between them, one truth at the end."""
