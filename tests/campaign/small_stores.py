"""Makes small random stores out of one that holds runs of every kind: few runs, other settings, missing columns."""

import random
import sqlite3
from pathlib import Path

SETTINGS = {
    ("params", "model.model"): ["mlp_l1_w8_bn", "resnet10", "mlp_l1_w587", "linear_l1_w128", "patches_attention"],
    ("params", "data.dataset"): ["mnist", "cifar10", "bigearthnet", "digits", "none of ours"],
    ("params", "data.shift"): ["none", "label_5050", "label_2080", "bands_B02_B08", "corrupt_fog_3"],
    ("params", "model.seed"): ["1", "2", "20"],
    ("params", "model.init"): ["same", "different"],
    ("params", "noise.noise"): ["same", "different"],
    ("params", "optimization.batch_size"): ["32", "1024"],
    ("params", "optimization.lr"): ["0.1", "0.001"],
    ("tags", "lmc.bn"): ["interpolate", "recalibrate", "repair", "nearest"],
    ("tags", "lmc.connected"): ["yes", "no", "apparent", ""],
    ("tags", "lmc.align"): ["weights", "none"],
    ("tags", "lmc.sampling"): ["lmc", "seeds", "star"],
    ("tags", "lmc.side"): ["A", "B"],
    ("tags", "lmc.members"): ["301 members (0123456789abcdef): see members.json"],
}
"""Table and name of a setting -> values that runs may have."""


class SmallStores:
    """Changes a SQLite store in place, each time from what it was at first."""

    def __init__(self, database: Path) -> None:
        self._database = sqlite3.connect(database)
        self._first = sqlite3.connect(":memory:")
        self._database.backup(self._first)
        self._runs = [run for (run,) in self._first.execute("SELECT run_uuid FROM tags WHERE key = 'lmc.kind'")]

    def make(self, seed: int) -> str:
        """Make the store of a seed; return in words what was done."""
        rng = random.Random(seed)
        self._first.backup(self._database)
        number = rng.choice([1, 2, rng.randint(3, 6), rng.randint(7, len(self._runs))])
        kept = set(rng.sample(self._runs, number))
        for run in self._runs:
            if run not in kept:
                change = rng.choice(["lifecycle_stage = 'deleted'"] * 3 + ["status = 'RUNNING'"])
                self._database.execute(f"UPDATE runs SET {change} WHERE run_uuid = ?", (run,))
        told = [f"{number} runs", *self._vary(rng), *self._drop(rng)]
        self._database.commit()
        return ", ".join(told)

    def _vary(self, rng: random.Random) -> list[str]:
        chosen = rng.sample(list(SETTINGS), rng.randint(0, 5))
        for table, key in chosen:
            for (run,) in self._database.execute(f"SELECT run_uuid FROM {table} WHERE key = ?", (key,)).fetchall():
                value = rng.choice(SETTINGS[table, key])
                self._database.execute(
                    f"UPDATE {table} SET value = ? WHERE key = ? AND run_uuid = ?", (value, key, run)
                )
        return [f"other {key}" for _, key in chosen]

    def _drop(self, rng: random.Random) -> list[str]:
        dropped = []
        for tables, most in ((["tags"], 3), (["params"], 3), (["latest_metrics", "metrics"], 20)):
            query = f"SELECT DISTINCT key FROM {tables[0]} WHERE key NOT LIKE 'mlflow.%' AND key != 'lmc.kind'"
            names = [name for (name,) in self._database.execute(query)]
            for name in rng.sample(names, min(len(names), rng.randint(0, most))):
                dropped.append(f"no {name}")
                for table in tables:
                    self._database.execute(f"DELETE FROM {table} WHERE key = ?", (name,))
        if rng.random() < 0.2:
            self._database.execute("UPDATE latest_metrics SET is_nan = 1 WHERE key LIKE 'test/%'")
            dropped.append("test/ is nan")
        return dropped
