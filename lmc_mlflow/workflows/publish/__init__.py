"""The command `publish`: publishes logged networks as MLflow models that load without this project."""
