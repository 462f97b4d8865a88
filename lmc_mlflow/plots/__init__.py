"""What do the numbers look like? Figures from tables; never opens a file or a run."""

from lmc_mlflow.plots.barriers import barrier_by_model as barrier_by_model
from lmc_mlflow.plots.batch_and_lr import barrier_by_batch_and_lr as barrier_by_batch_and_lr
from lmc_mlflow.plots.batch_and_lr import final_training_loss as final_training_loss
from lmc_mlflow.plots.beside_paper import beside_paper as beside_paper
from lmc_mlflow.plots.ensembles import accuracy_by_size as accuracy_by_size
from lmc_mlflow.plots.ensembles import ensemble_comparison as ensemble_comparison
from lmc_mlflow.plots.learning import learning_figure as learning_figure
from lmc_mlflow.plots.over_seeds import learning_over_seeds as learning_over_seeds
from lmc_mlflow.plots.over_seeds import paths_over_seeds as paths_over_seeds
from lmc_mlflow.plots.paths import path_figure as path_figure
from lmc_mlflow.plots.paths import polar_figure as polar_figure
from lmc_mlflow.plots.polar import polar_over_seeds as polar_over_seeds
from lmc_mlflow.plots.similarity import angle_against_manhattan as angle_against_manhattan
from lmc_mlflow.plots.similarity import angle_of_connected as angle_of_connected
from lmc_mlflow.plots.style import png_bytes as png_bytes
