"""The subcommands of ``fhir-server``: one module each, which has a click command called `command`."""
