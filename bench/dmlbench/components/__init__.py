"""From the name of a component to an instance of it."""
