"""Command line of a worker."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tasks import log_lines


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Returns the options; ends the program where they are invalid, as argparse does."""
    parser = argparse.ArgumentParser(prog="orchestrator worker", description="Trains trials from the queue.")
    parser.add_argument("--slots", type=int, help="trials at once (default: one per GPU; without one, 1 to 4)")
    parser.add_argument("--gpus", default="", help="GPUs to use, such as 0,1 (default: all that are visible)")
    parser.add_argument("--per-gpu", type=int, default=1, help="slots that share one GPU")
    parser.add_argument("--gpus-per-trial", type=int, default=1, help="GPUs that each slot has for itself")
    parser.add_argument("--queues", default="trials", help="queues to serve, separated by commas")
    parser.add_argument("--name", default=f"worker-{os.getpid()}", help="this worker's name, unique on its host")
    parser.add_argument("--loglevel", default="info", choices=["debug", "info", "warning", "error"])
    parser.add_argument(
        "--log-format",
        type=_log_format,
        default=os.environ.get(log_lines.LOG_FORMAT, "").strip() or "text",
        help="text, or json: one object a line (default: ORCHESTRATOR_LOG_FORMAT, or text)",
    )
    parser.add_argument(
        "--metrics-port",
        type=int,
        help="port of this worker's metrics for Prometheus; 0 for none (default: ORCHESTRATOR_METRICS_PORT, or none)",
    )
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("ORCHESTRATOR_DATA_DIR", ".orchestrator")))
    parser.add_argument("--heartbeat", type=float, default=float(os.environ.get("ORCHESTRATOR_HEARTBEAT", "2")))
    parser.add_argument("--preload", default="", help=argparse.SUPPRESS)
    parser.add_argument("--parent", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.data_dir = options.data_dir.expanduser().resolve()
    return options


def _log_format(text: str) -> str:
    if text not in log_lines.FORMATS:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(log_lines.FORMATS)}")
    return text
