"""The product: commands, configuration, the supervisor, pages and publishing."""
