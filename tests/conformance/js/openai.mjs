// SPDX-License-Identifier: Apache-2.0
//
// openai-node. how: `create` (JSON), `raw` (the events as they come), `stream` (its strict accumulator), `socket` (its
// WebSocket client, one socket for each node); `retrieve` reads the response before it, `files` a turn of the way `via` with a
// file. `retries` is the SDK's maxRetries.
import OpenAI, { toFile } from 'openai';
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

const clientAt = (base, step, plan) => new OpenAI({ apiKey: plan.key, baseURL: `${base}/v1`, maxRetries: step.retries ?? 2 });

async function ask(step, plan, events, body) {
  const base = node(plan, step);
  return WAYS[step.how](clientAt(base, step, plan), { model: MODEL, tools: [TOOL], ...step.members, ...body }, events, base);
}

function told(response, calls = [], more = {}) {
  const parts = response.output.filter((item) => item.type === 'message').flatMap((item) => item.content);
  const text = response.output_text ?? parts.map((part) => part.text).join('');
  return { id: response.id, status: response.status, failure: response.error, text, calls, output: FOUND, ...more };
}

async function conversation(step, plan, done, events) {
  const calls = [];
  let response = await ask(step, plan, events, { input: step.text, previous_response_id: anchor(step, done) });
  for (;;) {
    const open = response.output.filter((item) => item.type === 'function_call');
    if (!open.length) return told(response, calls);
    calls.push(...open);
    response = await ask(step, plan, events, {
      previous_response_id: response.id,
      input: open.map(({ call_id }) => ({ type: 'function_call_output', call_id, output: FOUND })),
    });
  }
}

async function all(pages) {
  const found = [];
  for await (const each of pages) found.push(each);
  return found;
}

async function retrieve(step, plan, done) {
  const { responses } = clientAt(node(plan, step), step, plan);
  const response = await responses.retrieve(anchor(step, done));
  const other = clientAt(node(plan, step), step, plan).responses;
  return told(response, [], { items: await all(other.inputItems.list(response.id, { order: 'asc' })) });
}

async function files(step, plan, done, events) {
  const atNext = () => clientAt(node(plan, step), step, plan).files;
  const ids = async () => (await all(atNext().list())).map(({ id }) => id);
  const file = await atNext().create({ file: await toFile(Buffer.from('Dear courier'), 'letter.txt'), purpose: 'user_data' });
  const content = [{ type: 'input_file', file_id: file.id }, { type: 'input_text', text: step.text }];
  const response = await ask({ ...step, how: step.via }, plan, events, { input: [{ role: 'user', content }] });
  const listed = await ids();
  const { deleted } = await atNext().delete(file.id);
  return told(response, [], { file: file.id, listed, deleted, left: await ids() });
}

const MORE = { retrieve, files };

await play(
  (step, plan, done, events) => (MORE[step.how] ?? conversation)(step, plan, done, events),
  () => sockets.forEach((connection) => connection.close()),
);
