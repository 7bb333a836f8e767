"""Seconds of video: what a log with bodies shows, and what they cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from etl.normalise.invocation_logs import parse_logged_call
from etl.normalise.rows import Event
from tests.checks import failed_checks
from tests.support import HAIKU, call, load, logged, rows, write_invocation_log, write_log

REEL, RAY = "amazon.nova-reel-v1:1", "luma.ray-v2:0"


def video(
    number: int, asked: Any, made: Any = None, *, model: str = REEL, **fields: Any
) -> dict[str, Any]:
    request = {"inputBodyJson": asked}
    answer = {"outputBodyJson": made or {"outputVideoS3Path": "s3://CaNaRy/x.mp4"}}
    fields = {"operation": "StartAsyncInvoke"} | fields
    return logged(number, tokens=None, modelId=model, input=request, output=answer, **fields)


def reel(seconds: Any, dimension: Any = "1280x720") -> dict[str, Any]:
    config = {"durationSeconds": seconds, "fps": 24, "dimension": dimension, "seed": 1}
    prompt = {"taskType": "TEXT_VIDEO", "textToVideoParams": {"text": "CaNaRy"}}
    return prompt | {"videoGenerationConfig": config}


def ray(duration: Any, resolution: Any = "540p") -> dict[str, Any]:
    return {"prompt": "CaNaRy", "duration": duration, "resolution": resolution, "loop": False}


def made(seconds: Any, width: Any = 1280, height: Any = 720) -> dict[str, Any]:
    size = {"outputVideoWidth": width, "outputVideoHeight": height}
    return {"outputVideoDurationSeconds": seconds, "outputVideoFramesPerSecond": 24} | size


def test_the_log_says_how_long_a_video_is() -> None:
    as_sent = {"modelId": REEL, "modelInput": reel(12), "outputDataConfig": {}}
    for record, found in (
        (video(1, reel(6)), (6, "720p")), (video(1, as_sent), (12, "720p")),
        (video(1, ray("9s"), model=RAY), (9, "540p")), (video(1, ray("5s", None), model=RAY), (5, None)),
        (video(1, ray("5s") | {"videoGenerationConfig": None}, model=RAY), (5, "540p")),
        (video(1, None, made(6.0)), (6, "720p")), (video(1, None, made(5, 540, 960), model=RAY), (5, "540p")),
        # A frame more than what was asked for; alone, it may be billed as either.
        (video(1, reel(6), made(6.04)), (6, "720p")), (video(1, None, made(6.04)), None),
        (video(1, reel(6), made(12)), (12, "720p")),
        (logged(1, tokens=None, modelId=REEL, output=made(6)), (6, "720p")),
        (video(1, reel(6, "CaNaRy")), (6, None)), (video(1, reel(6, "1920x1080")), (6, None)),
        (video(1, reel("CaNaRy")), None), (video(1, reel(-6)), None), (video(1, reel(0)), None),
        (video(1, reel(True)), None), (video(1, ["CaNaRy"]), None), (video(1, None), None),
        (video(1, ray("CaNaRy"), model=RAY), None), (video(1, reel(6), errorCode="Denied"), None),
        (video(1, reel(6), model=HAIKU), None), (video(1, reel(6), model="acme.x-luma.ray"), None),
    ):  # fmt: skip
        row = parse_logged_call(json.dumps(record).encode()).row
        assert isinstance(row, Event)
        assert "CaNaRy" not in repr(row)
        tokens = row.tokens
        assert (None if tokens is None else (tokens.video_seconds, tokens.variant)) == found, record


def test_each_resolution_has_its_own_price(db: Database, tmp_path: Path) -> None:
    log = [
        video(1, reel(6)), video(2, ray("5s"), model=RAY), video(3, ray("9s", "720p"), model=RAY),
        video(4, ray("5s", None), model=RAY), video(5, None),
    ]  # fmt: skip
    fields = {"eventName": "StartAsyncInvoke", "requestParameters": {"modelId": REEL}}
    trail = [call(number, **fields) for number in (1, 5)]
    load(
        db,
        write_log(tmp_path / "trail.json", trail),
        write_invocation_log(tmp_path / "l.jsonl", log),
    )
    # A copy of AWS's page of 2026-07-24: Reel $0.08, Ray $0.75 at 540p and $1.50 at 720p.
    costs = "select model_id, video_seconds, cost_usd, unpriced_tokens from calls order by 1, 2, 3"
    assert rows(db, costs) == [
        (REEL, None, None, 0), (REEL, 6, 0.48, 0),
        (RAY, 5, None, 5), (RAY, 5, 3.75, 0), (RAY, 9, 13.5, 0),
    ]  # fmt: skip
    sums = "select sum(cost_usd), sum(unpriced_tokens), sum(unpriced_calls) from model_costs"
    assert rows(db, sums) == [(17.73, 5, 2)]
    # Seconds are no tokens.
    assert rows(db, "select sum(actual_tokens), sum(video_seconds) from daily_costs_by_model") == [
        (0, 25)
    ]
    gaps = rows(db, "select model_id, token_kind, missing from price_gaps order by 1")
    assert gaps == [(REEL, None, "size"), (RAY, "video_second", "size")]
    # Only the job whose seconds nothing shows is left.
    assert rows(db, "select count(*) from uncounted_jobs") == [(1,)]
    assert failed_checks(db) == {}
