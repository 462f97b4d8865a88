"""What is lmc_mlflow? Linear mode connectivity under data shifts, every answer an MLflow run."""

__version__ = "0.1.0"
