"""What a program without the wheel does: `requests`, and a new connection for each request."""

import hashlib
import hmac
import os
import time

import requests


def headers():
    now = str(round(time.time() * 1000))
    key = os.environ["JOB_SECRET_KEY"].encode("latin-1")
    return {
        "X-Job-Id": os.environ["JOB_ID"],
        "X-Job-Time": now,
        "X-Job-Hash": hmac.new(key, now.encode(), hashlib.sha256).hexdigest(),
    }


def send_status(data=None):
    hook = os.environ["JOB_HOOK"]
    return requests.post(hook + "/status", json=data, headers=headers()).json()


def upload_to(store, uuid, property, filepath, metadata={}):
    md5, challenge = hashlib.md5(), hashlib.md5(b"WEBDA")
    with open(filepath, "rb") as file:
        while piece := file.read(8192):
            md5.update(piece)
            challenge.update(piece)
    target = f"{os.environ['JOB_HOOK']}/upload/{store}/{uuid}/{property}"
    sums = {"hash": md5.hexdigest(), "challenge": challenge.hexdigest(), "metadata": metadata}
    answer = requests.put(target, json=sums, headers=headers()).json()
    if not answer["done"]:
        with open(filepath, "rb") as file:
            requests.request(answer["method"], answer["url"], data=file).raise_for_status()


def download_from(store, uuid, property, index, dirpath):
    target = f"{os.environ['JOB_HOOK']}/download/{store}/{uuid}/{property}/{index}"
    answer = requests.get(target, headers=headers()).json()
    path = os.path.join(dirpath, answer["Map"]["hash"])
    with open(path, "wb") as file:
        file.write(requests.get(answer["Location"]).content)
    return path
