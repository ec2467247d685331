"""What networks are made of on the host: subnets, bridges, firewall rules, held ports.

Effects go to the kernel over netlink; no program is started. May import domain and kernel; imported by services and the
composition roots. What lies in a container's own network namespace is made by the runtime.
"""
