// SPDX-License-Identifier: Apache-2.0
//
// The AI SDK with its OpenAI provider. how: `generate`, `stream` (both anchored), `history` (the messages of before, as
// generateText gave them, without an id: earlier items come as references).
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { FOUND, MODEL, anchor, node, play } from './play.mjs';

const look = tool({ description: 'looks', inputSchema: z.object({ at: z.string() }), execute: () => FOUND });
const history = [];

async function streamed(options, events) {
  const result = streamText({ ...options, onError: () => {} });
  for await (const part of result.fullStream) {
    events.push(part.type);
    if (part.type === 'error') throw part.error;
  }
  return { text: await result.text, steps: await result.steps, responseMessages: await result.responseMessages };
}

await play(async (step, plan, done, events) => {
  const openai = createOpenAI({ apiKey: plan.key, baseURL: `${node(plan, step)}/v1` });
  const whole = step.how === 'history';
  history.push(...(step.messages ?? []));
  history.push({ role: 'user', content: step.text });
  const options = {
    model: openai.responses(MODEL),
    messages: whole ? history : history.slice(-1),
    tools: { look },
    stopWhen: stepCountIs(5),
    maxRetries: step.retries ?? 2,
    providerOptions: { openai: { previousResponseId: whole ? undefined : anchor(step, done), ...step.options } },
  };
  const { text, steps, responseMessages } = await (step.how === 'stream' ? streamed(options, events) : generateText(options));
  history.push(...responseMessages);
  const calls = steps.flatMap((each) => each.toolCalls)
    .map(({ toolCallId, toolName, input }) => ({ call_id: toolCallId, name: toolName, arguments: JSON.stringify(input) }));
  const finish = steps.at(-1).finishReason;
  return { id: steps.at(-1).providerMetadata.openai.responseId, text, calls, finish, output: FOUND, messages: history };
});
