"""The RFC's own scenario in network namespaces: topology, traffic, observation, demo."""
