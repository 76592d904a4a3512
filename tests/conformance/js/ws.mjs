// SPDX-License-Identifier: Apache-2.0
//
// npm's ws as a strict peer without an SDK around it. how: `turn` (response.create, read up to the terminal event; one socket
// for each node), `frames` (a socket of its own, sends what the plan says, word for word, and reads until the server closes
// or `until` messages came), `upgrade` (only the answer to the handshake).
import WebSocket from 'ws';
import { MODEL, anchor, node, play } from './play.mjs';

const PATIENCE = 20000; // ms, for whatever a turn waits for
const TERMINAL = ['response.completed', 'response.failed', 'response.incomplete', 'error'];
const sockets = new Map();

const open = (plan, step, base) =>
  new WebSocket(`${base.replace('http', 'ws')}${step.path ?? '/v1/responses'}`, {
    headers: { authorization: `Bearer ${step.key ?? plan.key}`, ...step.headers },
    perMessageDeflate: true, // offered, to be declined
  });

const opened = (socket) => new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`${what} is late`)), PATIENCE); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Reads messages until done(message) or the socket's end.
const read = (socket, done) => new Promise((resolve) => {
  const messages = [];
  const stop = (close) => {
    socket.removeAllListeners();
    socket.on('error', () => {});
    resolve({ messages, close });
  };
  socket.on('error', () => {});
  socket.on('close', (code, reason) => stop({ code, reason: reason.toString() }));
  socket.on('message', (data, binary) => {
    const text = data.toString();
    messages.push({ text, binary });
    if (done(text, messages.length)) stop(null);
  });
});

async function turn(step, plan, done) {
  const base = node(plan, step);
  if (!sockets.has(base)) {
    sockets.set(base, open(plan, step, base));
    await within(opened(sockets.get(base)), 'the handshake');
  }
  const socket = sockets.get(base);
  const end = read(socket, (text) => TERMINAL.includes(JSON.parse(text).type));
  socket.send(JSON.stringify({
    type: 'response.create', model: MODEL, input: step.text, previous_response_id: anchor(step, done), ...step.members,
  }));
  const { messages, close } = await within(end, 'the terminal event');
  return { ...gathered(messages), close, extensions: socket.extensions, calls: [] };
}

function gathered(messages) {
  const frames = messages.map(({ text }) => JSON.parse(text));
  const last = frames.at(-1);
  const parts = (last?.response?.output ?? []).filter((item) => item.type === 'message').flatMap((item) => item.content);
  return { id: last?.response?.id, text: parts.map((part) => part.text).join(''), frames, messages };
}

async function frames(step, plan) {
  const socket = open(plan, step, node(plan, step));
  await within(opened(socket), 'the handshake');
  const pongs = [];
  socket.on('pong', (data) => pongs.push(data.toString()));
  const end = read(socket, (_, count) => count === step.until);
  for (const { text, hex, ping, ...options } of step.frames) {
    if (ping !== undefined) socket.ping(ping);
    else socket.send(hex !== undefined ? Buffer.from(hex, 'hex') : text, options);
  }
  const { messages, close } = await within(end, 'the answer');
  socket.terminate();
  return { messages, close, pongs };
}

const upgrade = (step, plan) => within(new Promise((resolve, reject) => {
  const socket = open(plan, step, node(plan, step));
  socket.on('error', () => {});
  socket.on('open', () => {
    resolve({ status: 101, extensions: socket.extensions });
    socket.terminate();
  });
  socket.on('unexpected-response', (_, answer) => {
    let body = '';
    answer.on('data', (data) => { body += data; });
    answer.on('end', () => {
      resolve({ status: answer.statusCode, headers: answer.headers, body });
      socket.terminate(); // the connection would stay open
    });
    answer.on('error', reject);
  });
}), 'the answer to the handshake');

const WAYS = { turn, frames, upgrade };

await play(
  (step, plan, done) => WAYS[step.how](step, plan, done),
  () => sockets.forEach((socket) => socket.close()),
);
