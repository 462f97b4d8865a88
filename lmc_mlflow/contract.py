"""Names that another process, run or version of the project reads: run kinds, tags, artifacts, metric prefixes.

They stand in users' stores, so none is ever renamed; docs/tracking.md explains each.
"""

from collections.abc import Mapping

PREFIX = "lmc."
"""Before the name of every tag of ours."""
LAUNCHER_RUN = "MLFLOW_RUN_ID"
"""Environment variable in which `mlflow run` names the run that it has started."""
LOCK_PREFIX = "lmc-claim-"
"""Before the name of a registered model that is a lock."""


class Kind:
    """Values of the tag `lmc.kind`: what a run is."""

    PAIR = "pair"
    ENDPOINT = "endpoint"
    PATH = "path"
    PATH_BY_EPOCH = "path_by_epoch"
    DIAGNOSIS = "diagnosis"
    PATH_BY_LAYER = "path_by_layer"
    ALIGNMENT = "alignment"
    ENSEMBLE = "ensemble"
    STAR = "star"
    MATRIX = "matrix"
    PLANE = "plane"
    CURVATURE = "curvature"
    PRUNED = "pruned"
    TRAJECTORY = "trajectory"
    SWEEP = "sweep"
    REPORT = "report"


KINDS = tuple(value for name, value in vars(Kind).items() if name.isupper())
"""All kinds of runs of ours; users' own runs may have others."""
SEALED_KINDS = (
    Kind.PAIR,
    Kind.ENDPOINT,
    Kind.PATH,
    Kind.PATH_BY_EPOCH,
    Kind.DIAGNOSIS,
    Kind.PATH_BY_LAYER,
    Kind.ENSEMBLE,
    Kind.ALIGNMENT,
    Kind.STAR,
    Kind.PRUNED,
    Kind.TRAJECTORY,
    Kind.MATRIX,
    Kind.PLANE,
    Kind.CURVATURE,
)
"""Kinds whose artifacts are closed by a manifest."""


class Tag:
    """Names of the tags."""

    # What the run is, and of what.
    KIND = "lmc.kind"
    FINGERPRINT = "lmc.fingerprint"
    DATA_DIGEST = "lmc.data_digest"
    DATASET = "lmc.dataset"
    MODEL = "lmc.model"
    SHIFT = "lmc.shift"
    SEED = "lmc.seed"
    NOISE = "lmc.noise"
    LR = "lmc.lr"
    BATCH_SIZE = "lmc.batch_size"
    SIDE = "lmc.side"
    ENGINE = "lmc.engine"
    NUM_DEVICES = "lmc.num_devices"
    # Runs it came from.
    PAIR = "lmc.pair"
    RUN_A = "lmc.run_a"
    RUN_B = "lmc.run_b"
    RUN_C = "lmc.run_c"
    MEMBERS = "lmc.members"
    RUNS_DIGEST = "lmc.runs_digest"
    ENDPOINT = "lmc.endpoint"
    CURVE = "lmc.curve"
    SOURCES = "lmc.sources"
    NUM_SOURCES = "lmc.num_sources"
    HELD_OUT = "lmc.held_out"
    REFERENCE_RUN = "lmc.reference_run"
    START = "lmc.start"
    TRAJECTORY = "lmc.trajectory"
    EPOCH = "lmc.epoch"
    SOURCE = "lmc.source"
    SOURCE_RUN = "lmc.source_run"
    SOURCE_MODEL = "lmc.source_model"
    WEIGHTS_DIGEST = "lmc.weights_digest"
    SWA = "lmc.swa"
    KEPT_EPOCHS = "lmc.kept_epochs"
    LAST_EPOCH = "lmc.last_epoch"
    # How it was measured.
    ALIGN = "lmc.align"
    PATH = "lmc.path"
    CURVE_DIGEST = "lmc.curve_digest"
    BN = "lmc.bn"
    BARRIER = "lmc.barrier"
    REFERENCE = "lmc.reference"
    METHOD = "lmc.method"
    SAMPLING = "lmc.sampling"
    # Verdicts.
    CONNECTED = "lmc.connected"
    CONNECTED_UNALIGNED = "lmc.connected_unaligned"
    CONNECTED_STRAIGHT = "lmc.connected_straight"
    CONNECTED_BY_ERROR = "lmc.connected_by_error"
    CONNECTED_INTERVAL = "lmc.connected_interval"
    CONNECTED_INTERVAL_UNALIGNED = "lmc.connected_interval_unaligned"
    CONNECTED_INTERVAL_STRAIGHT = "lmc.connected_interval_straight"
    DIAGNOSIS = "lmc.diagnosis"
    CAUSES = "lmc.causes"
    CONVERGED = "lmc.converged"
    LAYER = "lmc.layer"
    STAR = "lmc.star"
    STAR_CANDIDATE = "lmc.star_candidate"
    CLUSTERS = "lmc.clusters"
    # Noise of a pair.
    SAME_NOISE = "lmc.same_noise"
    NOISE_DIGEST = "lmc.noise_digest"
    NOISE_SCALE = "lmc.noise_scale"
    BUDGET_REACHED = "lmc.budget_reached"
    # Process and provenance.
    HOST = "lmc.host"
    PID = "lmc.pid"
    PROCESS_STARTED = "lmc.process_started"
    PID_NAMESPACE = "lmc.pid_namespace"
    HEARTBEAT = "lmc.heartbeat"
    TASK = "lmc.task"
    STOPPED = "lmc.stopped"
    ERROR = "lmc.error"
    SEE = "lmc.see"
    OPENED = "lmc.opened"
    VERSION = "lmc.version"
    PYTHON = "lmc.python"
    PACKAGES = "lmc.packages"
    PLATFORM = "lmc.platform"
    THREADS = "lmc.threads"
    GIT_DIRTY = "lmc.git_dirty"
    # Sweeps and bundles.
    GRID = "lmc.grid"
    GRID_DIGEST = "lmc.grid_digest"
    REFINED = "lmc.refined"
    LEFT_OUT = "lmc.left_out"
    # Published models.
    PUBLISHED = "lmc.published"
    PUBLICATION = "lmc.publication"


UNKNOWN_SIDE = "unknown"
"""Side of a network that was trained elsewhere, on images that nobody has named."""
SETTING_TAGS = ("dataset", "model", "shift", "seed", "noise", "lr", "batch_size")
"""Settings of a training that are tags too, without the prefix; a run over several networks joins their values."""
MAX_TAG = 5000
"""Characters of a tag's value that every kind of store keeps."""


class Artifact:
    """Paths of artifacts that are read back."""

    MANIFEST = "manifest.json"
    CHECKPOINT = "checkpoint/model.safetensors"
    CHECKPOINT_CONFIG = "checkpoint/config.json"
    CHECKPOINT_SOURCE = "checkpoint/source.py"
    CHECKPOINT_GRAPH = "checkpoint/graph.json"
    SPLIT = "split.npz"
    PATH = "path.json"
    PATH_UNALIGNED = "path_unaligned.json"
    PATH_STRAIGHT = "path_straight.json"
    BARRIER_BY_EPOCH = "barrier_by_epoch.json"
    DIAGNOSIS = "diagnosis.json"
    DIAGNOSIS_CURVES = "diagnosis_curves.json"
    PATH_BY_LAYER = "path_by_layer.json"
    BARRIER_BY_LAYER = "barrier_by_layer.json"
    FEATURES_BY_LAYER = "features_by_layer.json"
    BARRIER_BY_CLASS = "barrier_by_class.json"
    BARRIER_BY_SAMPLE = "barrier_by_sample.json"
    SAMPLES = "samples.npz"
    SAMPLES_UNALIGNED = "samples_unaligned.npz"
    SAMPLES_STRAIGHT = "samples_straight.npz"
    CURVATURE = "curvature.json"
    CURVATURE_BY_LAYER = "curvature_by_layer.json"
    MATRIX_PAIRS = "pairs.csv"
    MATRIX_NETWORKS = "networks.csv"
    MATRIX_POINTS = "points.csv"
    MATRIX_OTHER_PAIRS = "pairs_on_other_data.csv"
    MATRIX_OTHER_POINTS = "points_on_other_data.csv"
    MEMBERS = "members.json"
    MEMBER_PLACES = "member_places.json"
    SIZES = "sizes.json"
    OTHER_SCORES = "scores_on_other_data.json"
    SCORES_BY_SIZE = "scores_by_size.json"
    STAR_SOURCES = "joined.json"
    STAR_PERMUTATIONS = "permutations.npz"
    PERMUTATION = "permutation.npz"
    HEAD_MAPS = "head_maps.npz"
    HELD_STILL = "held_still.json"
    CHECKPOINT_FOLDER = "checkpoint"
    RESUME_FOLDER = "resume"
    PREDICTIONS_FOLDER = "predictions"
    KEPT_FOLDER = "epochs"
    BENDS_FOLDER = "bends"


SEE_MEMBERS = f": see {Artifact.MEMBERS}"
"""End of the tag `lmc.members` of an ensemble with more members than it holds: their runs stand in the artifact."""
HEADLINE = "headline"
"""Metric of kinds without a barrier of their own: the number that answers their question (docs/tracking.md)."""
BY_EPOCH = "_by_epoch"
"""End of the metrics of paths between kept epochs of a pair; their step is the epoch."""
BY_LAYER = "_by_layer"
"""In the metrics of paths on which some layers move; their step is the number of the layer."""
UNALIGNED = "unaligned/"
"""Before the metrics of the path to B as it was logged, where the path's own are to B with its units permuted."""
REPEATED = "repeated/"
"""Before the metrics of a path between two executions of one configuration."""
STRAIGHT = "straight/"
"""Before the metrics of the segment, where the path's own are of a curve between the same networks."""


FINISHED = "attributes.status = 'FINISHED'"
RUNNING = "attributes.status = 'RUNNING'"
"""Search filters over the status of runs."""


def tag(name: str) -> str:
    """Return the tag of a name without prefix, as in `dataset`."""
    return PREFIX + name


def where(**tags: str) -> str:
    """Write a search filter over tags without prefix: `where(kind="pair")` is "tags.`lmc.kind` = 'pair'"."""
    return where_tags({tag(name): value for name, value in tags.items()})


def where_tags(tags: Mapping[str, str]) -> str:
    """Write a search filter: every tag has its value."""
    return " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
