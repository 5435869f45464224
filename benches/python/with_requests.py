"""What a program without the wheel does: `requests`, and a new connection for each report."""

import hashlib
import hmac
import os
import time

import requests


def send_status(data=None):
    now = str(round(time.time() * 1000))
    key = os.environ["JOB_SECRET_KEY"].encode("latin-1")
    headers = {
        "X-Job-Id": os.environ["JOB_ID"],
        "X-Job-Time": now,
        "X-Job-Hash": hmac.new(key, now.encode(), hashlib.sha256).hexdigest(),
    }
    return requests.post(os.environ["JOB_HOOK"] + "/status", json=data, headers=headers).json()
