# SPDX-License-Identifier: Apache-2.0
"""openai-agents for Python, whose runner plays the tool round by itself: with an id it sends only what is new. how: `run`,
`stream`, and over a WebSocket, one for each node, `socket`."""
import asyncio
import json

from agents import Agent, FunctionTool, OpenAIProvider, RunConfig, Runner, set_tracing_disabled

from play import FOUND, MODEL, TOOL, play

set_tracing_disabled(True)


async def look(_context, _arguments):
    return FOUND


PROVIDERS = {}

AGENT = Agent(name='courier', model=MODEL, instructions='Look before you answer.', tools=[FunctionTool(
    name='look', description='looks', params_json_schema=TOOL['parameters'], on_invoke_tool=look, strict_json_schema=False)])


def provider(plan, base, socket):
    if (base, socket) not in PROVIDERS:
        PROVIDERS[base, socket] = OpenAIProvider(
            api_key=plan.key, base_url=base + '/v1', use_responses=True, use_responses_websocket=socket)
    return PROVIDERS[base, socket]


async def turn(step, plan, events):
    config = RunConfig(model_provider=provider(plan, plan.base(step), step['how'] == 'socket'), tracing_disabled=True)
    options = {'previous_response_id': plan.anchor(step), 'run_config': config}
    if step['how'] == 'run':
        result = await Runner.run(AGENT, step['text'], **options)
    else:
        result = Runner.run_streamed(AGENT, step['text'], **options)
        async for event in result.stream_events():
            if event.type == 'raw_response_event':
                events.append(event.data.type)
    calls = [json.loads(item.raw_item.model_dump_json()) for item in result.new_items if item.type == 'tool_call_item']
    return {'id': result.last_response_id, 'text': result.final_output, 'calls': calls, 'output': FOUND}


async def close():
    for each in PROVIDERS.values():
        await each.aclose()


with asyncio.Runner() as loop:  # one for all turns: the library keeps its connections
    play(lambda step, plan, events: loop.run(turn(step, plan, events)), lambda: loop.run(close()))
