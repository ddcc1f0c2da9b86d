"""The engine: Locust in a process of its own, which sends requests at the times it is told to."""
