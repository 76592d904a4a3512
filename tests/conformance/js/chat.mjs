// SPDX-License-Identifier: Apache-2.0
//
// Chat completions with openai-node and the AI SDK. how: `create` (JSON), `raw` (the chunks as they come), `stream` (its
// strict accumulator), `tools` and `toolStream` (runTools, which calls the tool by itself), `parse` (a schema), `generate` and
// `text` (the AI SDK, whole and streamed). Messages are kept from step to step, as clients of chats do.
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, stepCountIs, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { FOUND, MODEL, node, play } from './play.mjs';

const PARAMETERS = { type: 'object', properties: { at: { type: 'string' } }, required: ['at'] };
const TOOL = { type: 'function', function: { name: 'look', description: 'looks', parameters: PARAMETERS } };
const RUNNABLE = { type: 'function', function: { ...TOOL.function, parse: JSON.parse, function: () => FOUND } };
const SHAPE = z.object({ at: z.string() });
const look = tool({ description: 'looks', inputSchema: SHAPE, execute: () => FOUND });
const messages = [];

const flat = (calls) => (calls ?? [])
  .map((call) => ({ call_id: call.id, name: call.function.name, arguments: call.function.arguments }));

// What an answer says, of a completion.
function told(completion, more = {}) {
  const [{ message, finish_reason: finish }] = completion.choices;
  return { id: completion.id, text: message.content, refusal: message.refusal, finish, usage: completion.usage, ...more };
}

// Chunks put together by hand: nothing is forgiven.
async function joined(client, body, events) {
  const whole = { choices: [{ message: { content: null, refusal: null } }] };
  const [choice] = whole.choices;
  for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) {
    events.push(chunk.choices.length ? Object.keys(chunk.choices[0].delta).join() : 'usage');
    whole.id = chunk.id;
    whole.usage = chunk.usage ?? whole.usage;
    if (!chunk.choices.length) continue;
    const [{ delta, finish_reason: finish }] = chunk.choices;
    if (delta.content) choice.message.content = (choice.message.content ?? '') + delta.content;
    for (const { index, id, function: part } of delta.tool_calls ?? []) {
      choice.message.tool_calls ??= [];
      choice.message.tool_calls[index] ??= { id, type: 'function', function: { name: part.name, arguments: '' } };
      choice.message.tool_calls[index].function.arguments += part.arguments;
    }
    choice.finish_reason = finish ?? choice.finish_reason;
  }
  return whole;
}

const ASK = {
  create: (client, body) => client.chat.completions.create(body),
  raw: joined,
  async stream(client, body, events) {
    const stream = client.chat.completions.stream(body);
    stream.on('chunk', (chunk) => events.push(chunk.object));
    return stream.finalChatCompletion();
  },
};

// Asks, looks where it is told to look, and asks again.
async function openai(step, client, events) {
  const body = { model: MODEL, tools: [TOOL], ...step.members };
  const calls = [];
  for (;;) {
    const completion = await ASK[step.how](client, { ...body, messages }, events);
    const [{ message }] = completion.choices;
    messages.push({ role: 'assistant', content: message.content, ...(message.tool_calls && { tool_calls: message.tool_calls }) });
    if (!message.tool_calls?.length) return told(completion, { calls });
    calls.push(...flat(message.tool_calls));
    for (const { id } of message.tool_calls) messages.push({ role: 'tool', tool_call_id: id, content: FOUND });
  }
}

async function ran(step, client) {
  const stream = step.how === 'toolStream';
  const runner = client.chat.completions.runTools({ model: MODEL, messages, tools: [RUNNABLE], stream, ...step.members });
  const completion = await runner.finalChatCompletion();
  const calls = runner.messages.slice(messages.length).flatMap((message) => flat(message.tool_calls));
  messages.splice(0, messages.length, ...runner.messages);
  return told(completion, { calls });
}

async function parsed(step, client) {
  const format = zodResponseFormat(SHAPE, 'place');
  const completion = await client.chat.completions.parse({ model: MODEL, messages, response_format: format, ...step.members });
  return told(completion, { parsed: completion.choices[0].message.parsed, calls: [] });
}

async function ai(step, plan, baseURL, events) {
  const provider = createOpenAI({ apiKey: plan.key, baseURL });
  const options = { model: provider.chat(MODEL), messages, tools: { look }, stopWhen: stepCountIs(5), maxRetries: step.retries ?? 2 };
  let result;
  if (step.how === 'generate') {
    result = await generateText(options);
  } else {
    result = streamText({ ...options, onError: () => {} });
    for await (const part of result.fullStream) {
      events.push(part.type);
      if (part.type === 'error') throw part.error;
    }
  }
  const steps = await result.steps;
  messages.push(...(await result.responseMessages ?? (await result.response).messages));
  const calls = steps.flatMap((each) => each.toolCalls)
    .map(({ toolCallId, toolName, input }) => ({ call_id: toolCallId, name: toolName, arguments: JSON.stringify(input) }));
  const { inputTokens, outputTokens } = steps.at(-1).usage;
  const usage = { prompt_tokens: inputTokens, completion_tokens: outputTokens };
  return { id: steps.at(-1).response.id, text: await result.text, finish: steps.at(-1).finishReason, usage, calls };
}

await play(async (step, plan, done, events) => {
  const baseURL = `${node(plan, step)}/v1`;
  const client = new OpenAI({ apiKey: plan.key, baseURL, maxRetries: step.retries ?? 2 });
  messages.push({ role: 'user', content: step.text });
  const found = step.how in ASK ? await openai(step, client, events)
    : step.how === 'parse' ? await parsed(step, client)
      : step.how.startsWith('tool') ? await ran(step, client) : await ai(step, plan, baseURL, events);
  return { ...found, output: FOUND };
});
