"""What all tests have: marks that name the rules that they show."""

pytest_plugins = ["tests.spec.plugin"]
