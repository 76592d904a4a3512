// SPDX-License-Identifier: Apache-2.0
//
// The frame of the programs beside this one: a plan comes on standard input, its turns are played one after another with
// a client library, and what each gave is printed as one JSON list. Nothing is judged here: that is Python's part.
//
//   plan  {"key", "bases": [URL..], "turns": [{"text", "how", "base"?, "anchor"?, ..}]}
//   turn  {"id", "text", "calls": [{"call_id", "name", "arguments"}], "output", "events": [..]} or {"error": {..}}
import { text } from 'node:stream/consumers';

export const MODEL = 'gpt-5.1';
export const FOUND = 'it is there'; // what the tool says, whoever asks

export const TOOL = {
  type: 'function',
  name: 'look',
  description: 'looks',
  strict: false,
  parameters: { type: 'object', properties: { at: { type: 'string' } }, required: ['at'], additionalProperties: false },
};

// A turn goes to the node that its plan names, else to the next in turn.
let next = 0;
export const node = (plan, step) => step.base ?? plan.bases[next++ % plan.bases.length];

// A turn continues the one before it, unless its plan says otherwise.
export const anchor = (step, done) => (step.anchor !== undefined ? step.anchor : done.at(-1)?.id) ?? undefined;

const describe = (error) => ({
  name: error?.constructor?.name,
  message: String(error?.message),
  status: error?.status ?? error?.statusCode ?? null,
  code: error?.code ?? null,
  type: error?.type ?? null,
  param: error?.param ?? null,
});

export async function play(turn, close = () => {}) {
  const plan = JSON.parse(await text(process.stdin));
  const done = [];
  for (const step of plan.turns) {
    const events = [];
    try {
      done.push({ events, ...(await turn(step, plan, done, events)) });
    } catch (error) {
      done.push({ events, error: describe(error) });
    }
  }
  await close();
  console.log(JSON.stringify(done));
}
