"""The bars: how many times as long as another tool syncengine may take, and what it may take at most."""

from __future__ import annotations

from typing import Dict

TIMES_AS_LONG: Dict[str, Dict[str, float]] = {
    "local-first-copy": {"rsync": 0.9, "rclone": 0.6},
    "local-no-change": {"rsync": 1.5, "rclone": 0.5},
    "local-large-file": {"cp": 1.0},
    "local-renamed": {"rclone": 0.2},
    "s3-up": {"rclone": 0.6, "s5cmd": 0.4, "aws": 0.2},
    "s3-down": {"rclone": 0.9},
    "s3-no-change": {"rclone": 0.5},
    "s3-to-s3": {"rclone": 0.8},
    "s3-listing": {"s3fs": 0.2},
    "s3-up-large": {"rclone": 1.1},
    "s3-down-large": {"rclone": 1.1},
    "sftp-up": {"rclone": 1.0},
    "two-way-no-change": {"rclone": 0.4, "unison": 1.5},
}
MOST_SECONDS: Dict[str, float] = {"start-version": 0.25, "start-import": 0.15}
MOST_BYTES: Dict[str, int] = {
    "two-way-no-change": 300_000_000,
    "s3-up-large": 200_000_000,
    "s3-down-large": 200_000_000,
    "scale-local": 150_000_000,
    "scale-generated": 200_000_000,
}
