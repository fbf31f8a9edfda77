"""The entry to a swarm's services: a real proxy, kept configured. It carries no traffic itself."""
