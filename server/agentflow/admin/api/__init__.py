"""The REST interface: routes, their description, and the translation between HTTP and actions."""
