"""What several rooms of tests share, one module a purpose. Production code never imports it."""
