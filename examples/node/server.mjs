// Sends each message back to its sender.
//     node server.mjs HOST PORT [--key FILE] [--context NAME]

import net from 'node:net';
import { parseArgs } from 'node:util';

import { Connection } from './connection.mjs';
import { readKey } from './key.mjs';

const { values, positionals: [host, port] } = parseArgs({
  allowPositionals: true,
  options: { key: { type: 'string' }, context: { type: 'string' } },
});
const key = values.key && readKey(values.key);
let count = 0;
const server = net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
  const id = `node-${++count}`;
  const connection = new Connection(socket, { client: false, key, context: values.context, id });
  connection.on('message', (message) => {
    if (!connection.sentClose && !connection.send(message)) socket.pause(); // it reads too slowly
  });
  socket.on('drain', () => socket.resume());
  connection.on('end', () => connection.close());
  connection.on('close', (error) => console.log(`${id}: ${error ? error.message : 'closed'}`));
});
server.listen({ host, port }, () => console.log(`listening on port ${server.address().port}`));
