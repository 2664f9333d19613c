// Sends each line of its input as a message, and prints each message that comes as a line.
//     node client.mjs HOST PORT [--extended] [--key FILE] [--context NAME]

import net from 'node:net';
import readline from 'node:readline';
import { parseArgs } from 'node:util';

import { Connection } from './connection.mjs';
import { readKey } from './key.mjs';

const { values, positionals: [host, port] } = parseArgs({
  allowPositionals: true,
  options: { extended: { type: 'boolean' }, key: { type: 'string' }, context: { type: 'string' } },
});
const { extended, context } = values;
const key = values.key && readKey(values.key);
const socket = net.connect({ host, port, noDelay: true, allowHalfOpen: true });
const connection = new Connection(socket, { client: true, extended, key, context });
const lines = readline.createInterface({ input: process.stdin }).pause();
connection.on('open', () => lines.resume());
socket.on('drain', () => lines.resume());
connection.on('message', (message) => console.log(message.toString()));
connection.on('close', (error) => {
  process.stdin.destroy();
  if (error) console.error(error.message);
  process.exitCode = error ? 1 : 0;
});
lines.on('close', () => connection.close());
lines.on('line', (line) => {
  if (!connection.sentClose && !connection.send(Buffer.from(line))) lines.pause();
});
