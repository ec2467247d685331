"""Networks with real containers: names, ports, ways out and walls. Hosts are network namespaces."""
