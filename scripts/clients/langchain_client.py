"""LangChain's moderation middleware with the server in OpenAI's place.

usage: langchain_client.py SERVER_URL SAFE_UPSTREAM_URL UNSAFE_UPSTREAM_URL
"""

import asyncio
import sys
from importlib.metadata import version

import openai
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langchain_openai.middleware import OpenAIModerationMiddleware
from langchain_openai.middleware.openai_moderation import OpenAIModerationError

from checks import SAFE, UNSAFE, Checks

SERVER, SAFE_UPSTREAM, UNSAFE_UPSTREAM = sys.argv[1:]
check = Checks("langchain")


def agent(upstream, behavior):
    model = ChatOpenAI(model="made-up", base_url=upstream + "/v1", api_key="none")
    arguments = {"base_url": SERVER + "/v1", "api_key": "none", "max_retries": 0}
    guard = OpenAIModerationMiddleware(
        exit_behavior=behavior,
        client=openai.OpenAI(**arguments),
        async_client=openai.AsyncOpenAI(**arguments),
    )
    return create_agent(model, middleware=[guard])


def asking(text):
    return {"messages": [{"role": "user", "content": text}]}


def last(state):
    return state["messages"][-1].content


for behavior in ["end", "replace"]:
    passing = last(agent(SAFE_UPSTREAM, behavior).invoke(asking(SAFE)))
    check(passing.startswith("Mix flour"), f"{behavior}: a safe exchange passes")
    blocked = last(agent(UNSAFE_UPSTREAM, behavior).invoke(asking(SAFE)))
    check("illicit" in blocked and "hack" not in blocked, f"{behavior}: an unsafe response")
blocked = last(agent(SAFE_UPSTREAM, "end").invoke(asking(UNSAFE)))
check("illicit" in blocked, "an unsafe prompt ends the run")
for upstream, text, stage in [(SAFE_UPSTREAM, UNSAFE, "input"), (UNSAFE_UPSTREAM, SAFE, "output")]:
    try:
        agent(upstream, "error").invoke(asking(text))
        check(False, f"{stage}: an error is raised")
    except OpenAIModerationError as error:
        check(error.stage == stage, f"{stage}: the error names its stage")
        check(error.result.categories.illicit, f"{stage}: and the category")
blocked = last(asyncio.run(agent(UNSAFE_UPSTREAM, "end").ainvoke(asking(SAFE))))
check("illicit" in blocked, "an unsafe response, async")
print(f"langchain {version('langchain')}: {check.passed} passed, 0 failed")
