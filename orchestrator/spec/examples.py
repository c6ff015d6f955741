"""An example of each table of a spec, for its reference; by the name of the section, ``pruner.median``."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final = {
    "": """\
name = "digits"
objective = "tasks.objectives.digits:objective"
direction = "maximize"
trials = 40
timeout = "2h"
target = 0.99
patience = 20
max_total_steps = 800
max_steps = 27
parallel = 8
seed = 7
queue = "gpu"
priority = 7
catch = ["ValueError", "torch.cuda.OutOfMemoryError"]
stall_timeout = "10m"
keep_models = 3
enqueue = [{ lr = 0.01, optimizer = "adam" }]
""",
    "args": """\
[args]
epochs = 27
""",
    "sampler": """\
[sampler]
name = "tpe"
n_startup_trials = 5
""",
    "pruner.none": """\
[pruner]
name = "none"
""",
    "pruner.median": """\
[pruner]
name = "median"
n_startup_trials = 2
n_warmup_steps = 5
interval_steps = 3
""",
    "pruner.percentile": """\
[pruner]
name = "percentile"
percentile = 25.0
n_warmup_steps = 5
""",
    "pruner.asha": """\
[pruner]
name = "asha"
mode = "promotion"
min_resource = 1
reduction_factor = 3
""",
    "pruner.hyperband": """\
[pruner]
name = "hyperband"
min_resource = 1
max_resource = 27
reduction_factor = 3
""",
    "pruner.threshold": """\
[pruner]
name = "threshold"
lower = 0.2
n_warmup_steps = 3
""",
    "pruner.patient": """\
[pruner]
name = "patient"
patience = 3

[pruner.wrapped]
name = "median"
""",
    "pruner.module:Class": """\
[pruner]
name = "wilcoxon"
p_threshold = 0.1
""",
    "space.float": """\
[space]
lr = { type = "float", low = 1e-4, high = 1e-1, log = true }
dropout = { type = "float", low = 0.0, high = 0.6, step = 0.1 }
""",
    "space.int": """\
[space]
width = { type = "int", low = 4, high = 64, step = 4 }
""",
    "space.categorical": """\
[space]
optimizer = { type = "categorical", choices = ["sgd", "adam"] }
""",
    "retry": """\
[retry]
max_attempts = 3
out_of_memory = 1
exception = 2
""",
    "notify": """\
[notify]
url = "https://example.org/hooks/digits"
on = ["finished", "failed", "best"]
""",
    "schedule": """\
[schedule]
cron = "0 2 * * *"
timezone = "Europe/Berlin"
keep = 14
warm_start = 2
flag_worse_by = 0.01
""",
}
