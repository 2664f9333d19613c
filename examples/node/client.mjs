// Sends each line of its input as a message, and prints each message that comes as a line.
//     node client.mjs HOST PORT [--extended] [--session [--requests]] [--key FILE] [--context NAME]
// With --session the connection is made again when it is cut. With --requests each line is a request,
// and what is printed is the answer. Requests of the server are answered with what they say.

import net from 'node:net';
import readline from 'node:readline';
import { parseArgs } from 'node:util';

import { Connection } from './connection.mjs';
import { readKey } from './key.mjs';
import { Session } from './session.mjs';

const { values, positionals: [host, port] } = parseArgs({
  allowPositionals: true,
  options: {
    extended: { type: 'boolean' }, session: { type: 'boolean' }, requests: { type: 'boolean' },
    key: { type: 'string' }, context: { type: 'string' },
  },
});
const { extended, context } = values;
const key = values.key && readKey(values.key);
const dial = () => net.connect({ host, port, noDelay: true, allowHalfOpen: true });
const lines = readline.createInterface({ input: process.stdin }).pause();
const resume = () => lines.resume();
const answer = (payload) => payload;
const connection = values.session
  ? new Session({ dial, key, context, answer })
  : new Connection(dial().on('drain', resume), { client: true, extended, key, context });
const print = (bytes) => console.log(bytes.toString());
const requests = [];
connection.on('open', resume);
connection.on('drain', resume);
connection.on('message', print);
connection.on('close', (error) => {
  process.stdin.destroy();
  if (error) console.error(error.message);
  process.exitCode = error ? 1 : 0;
});
lines.on('close', async () => {
  await Promise.allSettled(requests);
  connection.close();
});
lines.on('line', (line) => {
  const bytes = Buffer.from(line);
  if (connection.sentClose) return;
  if (values.requests) requests.push(connection.request(bytes).then(print, console.error));
  else if (!connection.send(bytes)) lines.pause();
});
