"""A load client over the public Kubernetes API; imports nothing from mooring."""
