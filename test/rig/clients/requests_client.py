"""Makes the calls that it reads as JSON from stdin (plan.ts) with requests, in one session."""
import json
import sys

import requests


def pieces(body):
    half = (len(body) + 1) // 2
    yield body[:half]
    yield body[half:]


session = requests.Session()
session.trust_env = False
answers = []
for call in json.load(sys.stdin):
    body = call.get("body")
    if body is not None:
        body = body.encode()
        if call.get("chunked"):
            body = pieces(body)
    timeout = call.get("timeoutMs")
    try:
        response = session.request(
            call.get("method", "GET"),
            call["url"],
            headers=call.get("headers"),
            data=body,
            timeout=timeout / 1000 if timeout else 20,
        )
        answers.append({"status": response.status_code, "body": response.text})
    except requests.RequestException as error:
        answers.append({"status": 0, "body": "", "error": str(error)})
session.close()
json.dump(answers, sys.stdout)
