# SPDX-License-Identifier: Apache-2.0
"""openai-agents for Python, whose runner plays the tool round by itself: with an id it sends only what is new. how: `run`,
`stream`."""
import asyncio
import json

from agents import Agent, FunctionTool, OpenAIProvider, RunConfig, Runner, set_tracing_disabled

from play import FOUND, MODEL, TOOL, play

set_tracing_disabled(True)


async def look(_context, _arguments):
    return FOUND


AGENT = Agent(name='courier', model=MODEL, instructions='Look before you answer.', tools=[FunctionTool(
    name='look', description='looks', params_json_schema=TOOL['parameters'], on_invoke_tool=look, strict_json_schema=False)])


async def turn(step, plan, events):
    provider = OpenAIProvider(api_key=plan.key, base_url=plan.base(step) + '/v1', use_responses=True)
    options = {'previous_response_id': plan.anchor(step), 'run_config': RunConfig(model_provider=provider, tracing_disabled=True)}
    if step['how'] == 'run':
        result = await Runner.run(AGENT, step['text'], **options)
    else:
        result = Runner.run_streamed(AGENT, step['text'], **options)
        async for event in result.stream_events():
            if event.type == 'raw_response_event':
                events.append(event.data.type)
    calls = [json.loads(item.raw_item.model_dump_json()) for item in result.new_items if item.type == 'tool_call_item']
    return {'id': result.last_response_id, 'text': result.final_output, 'calls': calls, 'output': FOUND}


with asyncio.Runner() as loop:  # one for all turns: the library keeps its connections
    play(lambda step, plan, events: loop.run(turn(step, plan, events)))
