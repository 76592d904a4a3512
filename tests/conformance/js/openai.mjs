// SPDX-License-Identifier: Apache-2.0
//
// openai-node. how: `create` (JSON), `raw` (the events as they come), `stream` (its strict accumulator), `socket` (its
// WebSocket client, one socket for each node). `retries` is the SDK's maxRetries.
import OpenAI from 'openai';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { FOUND, MODEL, TOOL, anchor, node, play } from './play.mjs';

const TERMINAL = ['response.completed', 'response.failed', 'response.incomplete'];
const sockets = new Map();

function socket(client, base) {
  if (!sockets.has(base)) sockets.set(base, new ResponsesWS(client));
  return sockets.get(base);
}

const WAYS = {
  create: (client, body) => client.responses.create(body),

  async raw(client, body, events) {
    let response;
    for await (const event of await client.responses.create({ ...body, stream: true })) {
      events.push(event.type);
      response = event.response ?? response;
    }
    return response;
  },

  async stream(client, body, events) {
    const stream = client.responses.stream(body);
    for await (const event of stream) events.push(event.type);
    return stream.finalResponse();
  },

  async socket(client, body, events, base) {
    const connection = socket(client, base);
    const stream = connection.stream();
    connection.send({ type: 'response.create', ...body });
    for await (const event of stream) {
      if (event.type === 'error') throw event.error;
      if (event.type === 'close') throw new Error(`closed with ${event.code}`);
      if (event.type !== 'message') continue;
      events.push(event.message.type);
      if (TERMINAL.includes(event.message.type)) return event.message.response;
    }
    throw new Error('the socket ended without a terminal event');
  },
};

async function ask(step, plan, events, body) {
  const base = node(plan, step);
  const client = new OpenAI({ apiKey: plan.key, baseURL: `${base}/v1`, maxRetries: step.retries ?? 2 });
  return WAYS[step.how](client, { model: MODEL, tools: [TOOL], ...step.members, ...body }, events, base);
}

await play(
  async (step, plan, done, events) => {
    const calls = [];
    let response = await ask(step, plan, events, { input: step.text, previous_response_id: anchor(step, done) });
    for (;;) {
      const open = response.output.filter((item) => item.type === 'function_call');
      if (!open.length) break;
      calls.push(...open);
      response = await ask(step, plan, events, {
        previous_response_id: response.id,
        input: open.map(({ call_id }) => ({ type: 'function_call_output', call_id, output: FOUND })),
      });
    }
    const parts = response.output.filter((item) => item.type === 'message').flatMap((item) => item.content);
    const text = response.output_text ?? parts.map((part) => part.text).join('');
    return { id: response.id, status: response.status, failure: response.error, text, calls, output: FOUND };
  },
  () => sockets.forEach((connection) => connection.close()),
);
