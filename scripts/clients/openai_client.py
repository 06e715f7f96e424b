"""The package `openai` against the server and the proxy.

usage: openai_client.py SERVER_URL
"""

import asyncio
import sys

import openai

from checks import SAFE, UNSAFE, Checks

URL = sys.argv[1] + "/v1"
check = Checks("openai")


client = openai.OpenAI(base_url=URL, api_key="none", max_retries=0)

# Moderations: one text, several, parts, errors.
one = client.moderations.create(input=UNSAFE)
check(one.results[0].flagged, "an unsafe text is flagged")
check(one.results[0].categories.illicit, "illicit is set from non_violent_crimes")
check(one.results[0].category_scores.illicit > 0.5, "and its score")
check(not one.results[0].categories.self_harm_intent, "what has no source is false")
several = client.moderations.create(model="omni-moderation-latest", input=[SAFE, UNSAFE])
check([r.flagged for r in several.results] == [False, True], "lists keep their order")
parts = client.moderations.create(input=[{"type": "text", "text": UNSAFE}])
check(parts.results[0].flagged, "parts of type text")
image = {"type": "image_url", "image_url": {"url": "data:,"}}
try:
    client.moderations.create(input=[image])
    check(False, "an image is refused")
except openai.BadRequestError as error:
    check(error.code == "unsupported_input_type", "an image is refused by code")
try:
    client.moderations.create(input=[])
    check(False, "an empty list is refused")
except openai.BadRequestError as error:
    check(error.param == "input", "with the field's name")


async def moderate():
    asynchronous = openai.AsyncOpenAI(base_url=URL, api_key="none", max_retries=0)
    texts = [SAFE, UNSAFE] * 8
    answers = await asyncio.gather(*(asynchronous.moderations.create(input=t) for t in texts))
    return [answer.results[0].flagged for answer in answers]


check(asyncio.run(moderate()) == [False, True] * 8, "sixteen at once, async")

# Chats through the proxy. The upstream turns unsafe in the middle.
check(client.models.list().data[0].id == "made-up", "the upstream's models")


def messages(text):
    return [{"role": "user", "content": text}]


blocked = client.chat.completions.create(model="made-up", messages=messages(UNSAFE))
check(blocked.choices[0].finish_reason == "content_filter", "an unsafe prompt is blocked")
check("non_violent_crimes" in blocked.choices[0].message.refusal, "and the category is told")
stream = client.chat.completions.create(model="made-up", messages=messages(UNSAFE), stream=True)
reasons = [chunk.choices[0].finish_reason for chunk in stream]
check(reasons[-1] == "content_filter", "also as a stream")
whole = client.chat.completions.create(model="made-up", messages=messages(SAFE))
check(whole.choices[0].finish_reason == "content_filter", "an unsafe response is blocked")
stream = client.chat.completions.create(model="made-up", messages=messages(SAFE), stream=True)
text, reason = "", None
for chunk in stream:
    text += chunk.choices[0].delta.content or ""
    reason = chunk.choices[0].finish_reason or reason
check(reason == "content_filter", "a stream that turns unsafe is cut")
check("hack" not in text, "before the unsafe span")
check(text.startswith("Mix flour"), "and what came before was shown")
print(f"openai {openai.VERSION}: {check.passed} passed, 0 failed")
