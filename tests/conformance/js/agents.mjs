// SPDX-License-Identifier: Apache-2.0
//
// @openai/agents, whose runner plays the tool round by itself: with an id it sends only what is new. how: `run`, `stream`,
// and over a WebSocket `socket`.
import { Agent, OpenAIProvider, Runner, setTracingDisabled, tool } from '@openai/agents';
import { z } from 'zod';
import { FOUND, MODEL, anchor, node, play } from './play.mjs';

setTracingDisabled(true);

const agent = new Agent({
  name: 'courier',
  model: MODEL,
  instructions: 'Look before you answer.',
  tools: [tool({ name: 'look', description: 'looks', parameters: z.object({ at: z.string() }), execute: () => FOUND })],
});
const providers = new Map();

function provider(plan, base, socket) {
  const name = `${base} ${socket}`;
  if (!providers.has(name))
    providers.set(name, new OpenAIProvider({
      apiKey: plan.key, baseURL: `${base}/v1`, useResponses: true, useResponsesWebSocket: socket,
    }));
  return providers.get(name);
}

await play(
  async (step, plan, done, events) => {
    const socket = step.how === 'socket';
    const runner = new Runner({ modelProvider: provider(plan, node(plan, step), socket), tracingDisabled: true });
    const stream = step.how !== 'run';
    const result = await runner.run(agent, step.text, { previousResponseId: anchor(step, done), stream });
    if (stream) {
      for await (const event of result) if (event.data?.event) events.push(event.data.event.type);
      await result.completed;
    }
    const calls = result.newItems
      .filter((item) => item.type === 'tool_call_item')
      .map(({ rawItem }) => ({ call_id: rawItem.callId, name: rawItem.name, arguments: rawItem.arguments }));
    return { id: result.lastResponseId, text: result.finalOutput, calls, output: FOUND };
  },
  async () => {
    for (const each of providers.values()) await each.close();
  },
);
